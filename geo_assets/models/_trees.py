"""Whether the text of a LightGBM model is whole and its trees are trees.

LightGBM follows the numbers of a text as they are: a child outside of its tree is read from memory that is not the
tree's, and a child that leads back never ends. So they are compared with each other first.
"""

from geo_assets.errors import ConfigError

_MOST_LEAVES = 1 << 20


def check_trees(text: str, *, features: int, outputs: int) -> None:
    """Refuse a model whose text is damaged or whose trees cannot be followed.

    Args:
        text: The model as ``Booster.save_model`` writes it.
        features: Features that the model is given.
        outputs: Values that it must give a row; 1 or 2 for a model of two classes.

    Raises:
        ConfigError: What is wrong.
    """
    head, *trees = text.split("\nTree=")
    about = _values(head)
    if not text.startswith("tree\n") or not trees or "\nend of trees\n" not in trees[-1]:
        raise ConfigError(
            "the file is no whole LightGBM model: it must begin with 'tree' and have an 'end of trees'; save it with Booster.save_model"
        )
    known = _number(about, "max_feature_idx", "the model") + 1
    if known != features:
        raise ConfigError(f"the LightGBM model has {known} features, and its item says {features} (time steps x bands)")
    per_row = _number(about, "num_tree_per_iteration", "the model")
    if per_row < 1 or len(trees) % per_row:
        raise ConfigError(f"the LightGBM model has {len(trees)} trees, which are no multiple of {per_row}")
    if outputs not in (per_row, 2 if per_row == 1 and about.get("objective", "").startswith("binary") else per_row):
        raise ConfigError(f"the LightGBM model gives {per_row} values a row, and its item says {outputs}")
    for n, tree in enumerate(trees):
        if tree.partition("\n")[0].strip() != str(n):
            raise ConfigError(f"tree {n} of the LightGBM model is missing")
        _check_tree(_values(tree.partition("\nend of trees\n")[0]), f"tree {n}", known)


def _check_tree(tree: dict[str, str], name: str, features: int) -> None:
    if _number(tree, "num_cat", name) != 0 or tree.get("is_linear", "0") != "0":
        raise ConfigError(f"{name} of the LightGBM model has categories or linear leaves, which are not run")
    leaves = _number(tree, "num_leaves", name)
    if not 1 <= leaves <= _MOST_LEAVES:
        raise ConfigError(f"{name} of the LightGBM model has {leaves} leaves")
    _numbers(tree, "leaf_value", name, leaves)
    if leaves == 1:
        return
    inner = leaves - 1
    _numbers(tree, "threshold", name, inner)
    kinds = _whole(tree, "decision_type", name, inner)
    split = _whole(tree, "split_feature", name, inner)
    left, right = (_whole(tree, side, name, inner) for side in ("left_child", "right_child"))
    if any(not 0 <= s < features for s in split) or any(not 0 <= k < 16 or k & 1 for k in kinds):
        raise ConfigError(f"{name} of the LightGBM model splits by a feature that there is not")
    # A split makes a new node, so a node comes after the one it hangs from, and each node and leaf hangs from one
    children = sorted((*left, *right))
    if children != [*range(-leaves, 0), *range(1, inner)] or any(
        0 <= c <= node for side in (left, right) for node, c in enumerate(side)
    ):
        raise ConfigError(f"{name} of the LightGBM model is no tree")


def _values(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.split("\n") if "=" in line)


def _number(values: dict[str, str], name: str, where: str) -> int:
    return _whole(values, name, where, 1)[0]


def _whole(values: dict[str, str], name: str, where: str, count: int) -> list[int]:
    return [int(v) for v in _numbers(values, name, where, count, whole=True)]


def _numbers(values: dict[str, str], name: str, where: str, count: int, *, whole: bool = False) -> list[str]:
    found = values.get(name, "").split()
    try:
        [(int if whole else float)(one) for one in found]
    except ValueError as e:
        raise ConfigError(f"{where} of the LightGBM file: {name} holds what is no number: {str(e)[:80]}") from e
    if len(found) != count:
        raise ConfigError(f"{where} of the LightGBM file: {name} has {len(found)} values, and {count} are needed")
    return found
