"""Text and plates of the Python worker: where lines are, cut out upright, and read."""
from functools import lru_cache
from itertools import groupby

import cv2
import numpy as np
from PIL import Image

from task_steps import around, best_of, blob, grid, letterboxed, resized, side_factor

PIXEL, BOX, SURE, UNCLIP = 0.3, 0.5, 0.5, 1.6
# cv2.warpPerspective counts from the middle of the first pixel, corners from its edge.
TO_EDGE, TO_MIDDLE = (np.array([(1, 0, d), (0, 1, d), (0, 0, 1)]) for d in (0.5, -0.5))


def text(worker, photo):
    scale = min(1, 960 / max(photo.size))
    width, height = (max(32, int(side * scale / 32 + 0.5) * 32) for side in photo.size)
    tensor = ocr_blob(resized(photo, width, height))
    worker.watch.lap("prepare")
    chances = worker.run("ppocr-det", tensor)[0][0, 0]
    pixels = np.asarray(photo)
    factor = np.array(photo.size) / (width, height)
    quads = in_order([np.clip(clockwise(quad * factor), 0, photo.size) for quad in rectangles(chances)])
    worker.watch.lap("post")
    pictures = upright(worker, [cut_out(pixels, quad) for quad in quads])
    lines = [(quad, *line) for quad, line in zip(quads, read(worker, pictures))]
    return [{"text": "".join(characters), "score": float(scores.mean()), "quad": quad.tolist()}
            for quad, characters, scores in lines if len(characters) and scores.mean() >= SURE]


def rectangles(chances):
    """The corners of the smallest rectangle around each region of the map, grown."""
    contours, tree = cv2.findContours((chances > PIXEL).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    outer = [contour[:, 0] for i, contour in enumerate(contours) if tree[0][i][3] < 0]
    for contour in outer:
        # A pixel is a square, not a dot.
        dots = np.concatenate([contour + step for step in ((0, 0), (1, 0), (0, 1), (1, 1))]).astype(np.float32)
        centre, (width, height), angle = cv2.minAreaRect(dots)
        if min(width, height) < 3 or mean_inside(chances, cv2.boxPoints((centre, (width, height), angle))) < BOX:
            continue
        growth = UNCLIP * width * height / (width + height)
        if min(width, height) + growth >= 5:
            yield cv2.boxPoints((centre, (width + growth, height + growth), angle)).astype(np.float64)


def mean_inside(chances, corners):
    low = np.floor(corners.min(axis=0)).astype(int).clip(0)
    high = np.ceil(corners.max(axis=0)).astype(int)
    part = chances[low[1]:high[1], low[0]:high[0]]
    mask = np.zeros(part.shape, np.uint8)
    # In sixteenths of a pixel.
    cv2.fillConvexPoly(mask, np.rint((corners - low - 0.5) * 16).astype(np.int32), 1, shift=4)
    return cv2.mean(part, mask)[0]


def clockwise(quad):
    """Top left, top right, bottom right, bottom left."""
    quad = quad[np.argsort(quad[:, 0], kind="stable")]
    left, right = (side[np.argsort(side[:, 1], kind="stable")] for side in (quad[:2], quad[2:]))
    return np.array([left[0], right[0], right[1], left[1]])


def in_order(quads):
    """Rows from top to bottom, in each from left to right. A row is as high as half its first line."""
    rows = []
    for middle, quad in sorted(((quad[:, 1].mean(), quad) for quad in quads), key=lambda one: one[0]):
        if rows and middle - rows[-1][0] < rows[-1][1]:
            rows[-1][2].append(quad)
        else:
            sides = np.hypot(*(quad[3] - quad[0])) + np.hypot(*(quad[2] - quad[1]))
            rows.append((middle, sides / 4, [quad]))
    return [quad for *_, row in rows for quad in sorted(row, key=lambda quad: quad[:, 0].min())]


def cut_out(pixels, quad):
    sides = np.hypot(*(quad - np.roll(quad, -1, axis=0)).T)
    width, height = (max(1, int(max(sides[i], sides[i + 2]))) for i in (0, 1))
    target = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    matrix = TO_MIDDLE @ cv2.getPerspectiveTransform(target, quad.astype(np.float32)) @ TO_EDGE
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(pixels, matrix, (width, height), flags=how, borderMode=cv2.BORDER_REPLICATE)


def upright(worker, pictures):
    """Tall ones turned counterclockwise, and those on their head by half; one run tells for all."""
    if not pictures:
        return []
    pictures = [np.rot90(one) if one.shape[0] >= 1.5 * one.shape[1] else one for one in pictures]
    tensor = np.concatenate([line_blob(one, 192, 192) for one in pictures])
    worker.watch.lap("prepare")
    chances = worker.run("ppocr-cls", tensor)[0]
    return [np.rot90(one, 2) if chance > 0.9 else one for one, chance in zip(pictures, chances[:, 1])]


def ocr_blob(picture):
    return blob(picture, bgr=True, mean=(127.5,) * 3, scale=1 / 127.5)


def line_blob(picture, step, longest):
    """48 pixels high, padded with zeros to a multiple of the step."""
    height, width = picture.shape[:2]
    width = min(longest, max(1, -(-48 * width // height)))
    line = ocr_blob(resized(Image.fromarray(np.ascontiguousarray(picture)), width, 48))
    return np.pad(line, ((0, 0), (0, 0), (0, 0), (0, -width % step)))


def read(worker, pictures):
    """Characters of each line and their scores. Lines of one width go through the network together."""
    tensors = [line_blob(picture, 320, 3200) for picture in pictures]
    worker.watch.lap("prepare")
    lines = [None] * len(tensors)
    by_width = sorted(range(len(tensors)), key=lambda i: tensors[i].shape[3])
    for _, group in groupby(by_width, key=lambda i: tensors[i].shape[3]):
        group = list(group)
        for i, steps in zip(group, worker.run("ppocr-rec", np.concatenate([tensors[i] for i in group]))[0]):
            best = steps.argmax(axis=1)
            # CTC: 0 is a blank, and the same again is the same character still.
            new = np.flatnonzero((best > 0) & (best != np.concatenate([[0], best[:-1]])))
            lines[i] = worker.characters[best[new]], steps[new, best[new]]
    worker.watch.lap("post")
    return lines


@lru_cache
def priors():
    """Centre and side of each box that the plates' detector starts from."""
    cells, strides = grid(640)
    small = np.array([(24, 48), (96, 192), (384, 768)], np.float32)[np.log2(strides).astype(int) - 3]
    return np.repeat((cells + 0.5) * strides[:, None], 2, axis=0), small.reshape(-1, 1)


def plates(worker, photo):
    tensor = blob(letterboxed(photo, photo.size, 640, 114, round), bgr=True, mean=(104, 117, 123))
    worker.watch.lap("prepare")
    loc, conf, landmarks = (one[0] for one in worker.run("clp_det", tensor, ["loc", "conf", "landms"]))
    likely = np.flatnonzero(conf[:, 1] >= SURE)
    centres, sides = (one[likely] for one in priors())
    factor, detections = side_factor(photo.size, 640), conf[likely, 1]
    boxes = around(centres + loc[likely, :2] * 0.1 * sides, sides * np.exp(loc[likely, 2:] * 0.2)) / factor
    quads = (centres[:, None] + landmarks[likely].reshape(-1, 4, 2) * 0.1 * sides[:, None]) / factor
    quads = quads[:, [2, 3, 0, 1]]
    kept = best_of(boxes, detections, SURE, 0.4)
    worker.watch.lap("post")
    lines = read(worker, [cut_out(np.asarray(photo), quads[i]) for i in kept])
    found = [{"text": "".join(characters), "score": float(scores.mean()), "detection": float(detections[i]),
              "box": boxes[i].tolist(), "corners": quads[i].tolist(),
              "characters": list(zip(characters.tolist(), scores.tolist()))}
             for i, (characters, scores) in zip(kept, lines) if len(characters) and scores.mean() >= SURE]
    return sorted(found, key=lambda plate: -plate["score"])
