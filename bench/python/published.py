"""The same work in Python: published.py BENCHMARK SUBJECT FOLDER WORKERS.

Prints how long it took and a digest of the results, as `published` does in Rust. What is timed
begins with the input in memory and ends with all results there.
"""

import os
import sys
import time
from collections import defaultdict

import numpy as np

BENCHMARK, SUBJECT, FOLDER, WORKERS = sys.argv[1:5]
WORKERS = int(WORKERS)


def path(name):
    return os.path.join(FOLDER, name)


# Image filters. Each weight multiplies the whole image once, as in the work in Rust.


def filtered(image, weights):
    size = image.shape[0] - 3
    result = np.zeros((size, size), dtype=np.float32)
    for dy in range(4):
        for dx in range(4):
            result += weights[4 * dy + dx] * image[dy : dy + size, dx : dx + size]
    return result[::5, ::5].copy()


def images():
    pixels = np.fromfile(path("image"), dtype="<f4")
    side = int(len(pixels) ** 0.5)
    image = pixels.reshape(side, side)
    filters = list(np.fromfile(path("filters"), dtype="<f4").reshape(-1, 16))
    begun = time.perf_counter()
    if SUBJECT == "python":
        results = [filtered(image, weights) for weights in filters]
    elif SUBJECT == "mpire":
        from mpire import WorkerPool

        with WorkerPool(n_jobs=WORKERS, shared_objects=image) as pool:
            results = pool.map(
                filtered, [(weights,) for weights in filters], concatenate_numpy_output=False
            )
    elif SUBJECT == "joblib":
        from joblib import Parallel, delayed

        results = Parallel(n_jobs=WORKERS)(delayed(filtered)(image, weights) for weights in filters)
    else:
        from loky import get_reusable_executor

        executor = get_reusable_executor(
            max_workers=WORKERS, initializer=keep_image, initargs=(image,)
        )
        results = list(executor.map(filtered_kept, filters))
        executor.shutdown()
    seconds = time.perf_counter() - begun
    return seconds, [float(result.sum(dtype=np.float64)) for result in results]


KEPT = None


def keep_image(image):
    global KEPT
    KEPT = image


def filtered_kept(weights):
    return filtered(KEPT, weights)


# Word prefixes.


def count(counts, document):
    for word in document.split(" "):
        for length in range(1, len(word) + 1):
            counts[word[:length]] += 1


def count_all(documents):
    counts = defaultdict(int)
    for document in documents:
        count(counts, document)
    return dict(counts)


def merged(parts):
    counts = defaultdict(int)
    for part in parts:
        for prefix, occurrences in part.items():
            counts[prefix] += occurrences
    return counts


def begin_counts(state):
    state["counts"] = defaultdict(int)


def count_state(state, document):
    count(state["counts"], document)


def end_counts(state):
    return dict(state["counts"])


def words():
    with open(path("documents"), encoding="utf-8") as file:
        documents = file.read().split("\n")
    begun = time.perf_counter()
    # A part for each worker, where workers keep no state.
    size = -(-len(documents) // WORKERS)
    parts = [documents[first : first + size] for first in range(0, len(documents), size)]
    if SUBJECT == "python":
        counts = count_all(documents)
    elif SUBJECT == "mpire":
        from mpire import WorkerPool

        with WorkerPool(n_jobs=WORKERS, use_worker_state=True) as pool:
            pool.map(count_state, documents, worker_init=begin_counts, worker_exit=end_counts)
            counts = merged(pool.get_exit_results())
    elif SUBJECT == "joblib":
        from joblib import Parallel, delayed

        counts = merged(Parallel(n_jobs=WORKERS)(delayed(count_all)(part) for part in parts))
    else:
        from loky import get_reusable_executor

        executor = get_reusable_executor(max_workers=WORKERS)
        counts = merged(executor.map(count_all, parts))
        executor.shutdown()
    seconds = time.perf_counter() - begun
    return seconds, [len(counts), sum(counts.values()), max(counts.values())]


# The model.


def load(file):
    with open(file, encoding="utf-8") as text:
        weights = np.array(text.read().split(" "), dtype=np.float32)
    return weights[: 784 * 512].reshape(512, 784), weights[784 * 512 :].reshape(10, 512)


def classify(model, picture):
    hidden, output = model
    pixels = picture.astype(np.float32) / np.float32(255.0) - np.float32(0.5)
    return int(np.argmax(output @ np.maximum(hidden @ pixels, 0.0)))


def load_state(state):
    state["model"] = load(path("model"))


def classify_state(state, picture):
    return classify(state["model"], picture)


MODEL = None


def keep_model():
    global MODEL
    MODEL = load(path("model"))


def classify_kept(picture):
    return classify(MODEL, picture)


def classify_once(picture):
    if MODEL is None:
        keep_model()
    return classify(MODEL, picture)


def model():
    pictures = list(np.fromfile(path("pictures"), dtype=np.uint8).reshape(-1, 784))
    begun = time.perf_counter()
    if SUBJECT == "python":
        loaded = load(path("model"))
        classes = [classify(loaded, picture) for picture in pictures]
    elif SUBJECT == "mpire":
        from mpire import WorkerPool

        with WorkerPool(n_jobs=WORKERS, use_worker_state=True) as pool:
            classes = pool.map(
                classify_state, [(picture,) for picture in pictures], worker_init=load_state
            )
    elif SUBJECT == "joblib":
        from joblib import Parallel, delayed

        classes = Parallel(n_jobs=WORKERS, batch_size="auto")(
            delayed(classify_once)(picture) for picture in pictures
        )
    else:
        from loky import get_reusable_executor

        executor = get_reusable_executor(max_workers=WORKERS, initializer=keep_model)
        classes = list(executor.map(classify_kept, pictures, chunksize=40))
        executor.shutdown()
    seconds = time.perf_counter() - begun
    return seconds, [float(n) for n in np.bincount(classes, minlength=10)]


def main():
    taken, digest = {"images": images, "words": words, "model": model}[BENCHMARK]()
    print("PUBLISHED", taken, " ".join(repr(float(number)) for number in digest), sep="\t")


if __name__ == "__main__":
    # Functions of a module are sent by name, those of the program by value, with each task.
    import published

    published.main()
