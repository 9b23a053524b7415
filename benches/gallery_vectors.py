"""Vectors for the benches of galleries: rows are random unit vectors, a query is a row with noise, their cosine 0.6 in the
mean, as of two photos of one person."""
import numpy

DIMENSIONS, WANTED, QUERIES, COSINE = 128, 10, 64, 0.6
BLOCK = 50_000


def vectors(rows):
    random = numpy.random.default_rng(rows)
    matrix = random.standard_normal((rows + QUERIES, DIMENSIONS), numpy.float32)
    matrix /= numpy.linalg.norm(matrix, axis=1, keepdims=True)
    known = random.choice(rows, QUERIES, replace=False)
    matrix[rows:] = COSINE * matrix[known] + (1 - COSINE**2) ** 0.5 * matrix[rows:]
    matrix[rows:] /= numpy.linalg.norm(matrix[rows:], axis=1, keepdims=True)
    return matrix[:rows], matrix[rows:]


def truth(matrix, queries):
    """The best rows of each query, by an exact search in 64-bit floats."""
    best = []
    for query in queries.astype(numpy.float64):
        parts = numpy.array_split(matrix, len(matrix) // BLOCK + 1)
        products = numpy.concatenate([part @ query for part in parts])
        best.append(numpy.argsort(-products, kind="stable")[:WANTED].tolist())
    return best
