"""What an application of these tests says, so that a client can check every byte of it."""

import json


def body(side, path):
    """Returns the answer of `side`, `legacy` or `candidate`, to a path such as `/s/12`.

    Below `/c` and `/d` the side says who it is; elsewhere both say the same, but for each tenth.
    """
    slice_, number = path.strip("/").split("/")
    number = int(number)
    said = {"slice": slice_, "number": number, "price": number * 1.25, "tags": ["a", "b", "c"]}
    if slice_ in ("c", "d", "e"):
        said["side"] = side
    elif side == "candidate" and number % 10 == 0:
        said["price"] = str(said["price"])
    return json.dumps(said).encode()


def bodies(path):
    """Returns what a client may be given, by side; one entry where only legacy may answer."""
    slice_ = path.strip("/").split("/")[0]
    sides = ("legacy", "candidate") if slice_ in ("c", "d", "e") else ("legacy",)
    return {body(side, path): side for side in sides}
