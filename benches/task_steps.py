"""Steps that several tasks of the Python worker share."""
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image


def resized(photo, width, height):
    """Bilinear. Pillow widens its filter when it makes smaller, as OpenCV does not; larger, both do the same."""
    if photo.size == (width, height):
        return photo
    if width >= photo.width and height >= photo.height:
        return Image.fromarray(cv2.resize(np.asarray(photo), (width, height), interpolation=cv2.INTER_LINEAR))
    return photo.resize((width, height), Image.Resampling.BILINEAR)


def side_factor(size, side):
    return side / max(size)


def letterboxed(photo, size, side, grey, whole):
    """Pixels of the photo, scaled to a long side, top left on a grey square; `size` is that before it was decoded."""
    factor = side_factor(size, side)
    photo = resized(photo, *(max(1, whole(length * factor)) for length in size))
    square = np.full((side, side, 3), grey, np.uint8)
    square[:photo.height, :photo.width] = photo
    return square


def blob(picture, bgr, mean=(0, 0, 0), scale=1):
    """1 x channel x height x width of (RGB pixels - mean) * scale; the mean is in the order that comes out."""
    return cv2.dnn.blobFromImage(np.asarray(picture), scale, mean=mean, swapRB=bgr)


@lru_cache
def grid(side, strides=(8, 16, 32)):
    """Column and row of each cell, and its stride."""
    places = [np.stack(np.meshgrid(*[np.arange(side // s, dtype=np.float32)] * 2), -1).reshape(-1, 2) for s in strides]
    sizes = [np.full(len(place), s, np.float32) for place, s in zip(places, strides)]
    return np.concatenate(places), np.concatenate(sizes)


def around(centres, sizes):
    """Boxes as x, y, width, height."""
    return np.hstack([centres - sizes / 2, sizes])


def best_of(boxes, scores, threshold, overlap, labels=None):
    """Non-maximum suppression, within each label if there are labels: indices, the best first."""
    if not len(boxes):
        return []
    if labels is None:
        labels = np.zeros(len(boxes), int)
    # What equals the threshold counts.
    below = np.nextafter(np.float32(threshold), np.float32(0))
    kept = cv2.dnn.NMSBoxesBatched(boxes.tolist(), scores.tolist(), labels.tolist(), float(below), overlap)
    return sorted(map(int, kept), key=lambda i: -scores[i])
