"""YOLO v1 in plain NumPy, number by number, as darknet's detection layer computes it: the referee of the tests.

Everything is in the order of darknet, for one image. A box is x, y, w, h in shares of the image.
"""

import math

import numpy as np

SCALES = {"coord": 5.0, "object": 1.0, "no_object": 0.5, "class": 1.0}


def truths(boxes, classes, side, height, width):
    """For each cell the first object whose centre lies in it: (class, x and y in the cell, w, h); None without one."""
    cells = [None] * (side * side)
    for (x1, y1, x2, y2), label in zip(boxes, classes, strict=True):
        w, h = (x2 - x1) / width, (y2 - y1) / height
        if label < 0 or w < 0.001 or h < 0.001:
            continue
        x, y = (x1 + x2) / 2 / width * side, (y1 + y2) / 2 / height * side
        column, row = (min(int(place), side - 1) for place in (x, y))
        if cells[row * side + column] is None:
            cells[row * side + column] = (int(label), x - column, y - row, w, h)
    return cells


def overlap(a, b):
    sides = []
    for i in (0, 1):
        low = max(a[i] - a[i + 2] / 2, b[i] - b[i + 2] / 2)
        high = min(a[i] + a[i + 2] / 2, b[i] + b[i + 2] / 2)
        sides.append(high - low)
    if min(sides) < 0:
        return 0.0
    both = sides[0] * sides[1]
    union = a[2] * a[3] + b[2] * b[3] - both
    return both / union if both and union else 0.0


def loss(values, cells, side, num, classes, rescore=True, scales=SCALES):
    """The five terms, and darknet's delta for each number: what is added to it, up to the learning rate."""
    terms = dict.fromkeys(("centre", "size", "object", "no_object", "class"), 0.0)
    delta = np.zeros(len(values))
    locations = side * side
    for i, truth in enumerate(cells):
        for j in range(num):
            place = locations * classes + i * num + j
            delta[place] = scales["no_object"] * (0 - values[place])
            terms["no_object"] += scales["no_object"] * values[place] ** 2
        if truth is None:
            continue
        label, *box = truth
        for c in range(classes):
            difference = (c == label) - values[i * classes + c]
            delta[i * classes + c] = scales["class"] * difference
            terms["class"] += scales["class"] * difference**2
        wanted = (box[0] / side, box[1] / side, box[2], box[3])
        best, best_iou, best_rmse, ious = None, 0.0, math.inf, []
        for j in range(num):
            start = locations * (classes + num) + (i * num + j) * 4
            x, y, w, h = values[start : start + 4]
            out = (x / side, y / side, w * w, h * h)
            ious.append(overlap(out, wanted))
            rmse = math.dist(out, wanted)
            if best_iou > 0 or ious[j] > 0:
                if ious[j] > best_iou:
                    best, best_iou = j, ious[j]
            elif rmse < best_rmse:
                best, best_rmse = j, rmse
        place = locations * classes + i * num + best
        difference = (ious[best] if rescore else 1.0) - values[place]
        terms["no_object"] -= scales["no_object"] * values[place] ** 2
        terms["object"] += scales["object"] * difference**2
        delta[place] = scales["object"] * difference
        start = locations * (classes + num) + (i * num + best) * 4
        for k, number in enumerate((box[0], box[1], math.sqrt(box[2]), math.sqrt(box[3]))):
            difference = number - values[start + k]
            delta[start + k] = scales["coord"] * difference
            terms["centre" if k < 2 else "size"] += scales["coord"] * difference**2
    return terms, delta


def detections(values, side, num, classes, height, width, threshold, iou):
    """The objects that are found: (class, score, x1, y1, x2, y2), the best first."""
    locations, found = side * side, []
    boxes, scores = [], np.zeros((locations * num, classes))
    for i in range(locations):
        row, column = divmod(i, side)
        for j in range(num):
            confidence = values[locations * classes + i * num + j]
            x, y, w, h = values[locations * (classes + num) + (i * num + j) * 4 :][:4]
            boxes.append(((x + column) / side, (y + row) / side, w * w, h * h))
            for c in range(classes):
                score = confidence * values[i * classes + c]
                scores[i * num + j, c] = score if score > threshold else 0
    for c in range(classes):
        left = sorted((k for k in range(len(boxes)) if scores[k, c]), key=lambda k: -scores[k, c])
        while left:
            best, *left = left
            x, y, w, h = boxes[best]
            corners = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
            clipped = [min(max(at, 0), side) for at, side in zip(corners, (width, height) * 2, strict=True)]
            found.append((c, scores[best, c], *clipped))
            left = [k for k in left if overlap(boxes[best], boxes[k]) <= iou]
    return sorted(found, key=lambda each: -each[1])
