"""Texts of LightGBM models, written anew from numbers that fit together.

LightGBM follows the numbers of a text as they are: a child outside of its tree is read from memory that is not the
tree's, a child that leads back never ends, and a text that ends among its parameters stops the process (tried with
LightGBM 4.7). So the numbers are compared with each other, and it gets a text with these and nothing else.
"""

import re

from geo_assets.errors import ConfigError

_MOST_LEAVES = 1 << 20
# LightGBM, "Parameters": objectives; each with the settings that it is written with
_PLAIN = "regression|regression_l1|huber|fair|quantile|mape|poisson|gamma|tweedie|cross_entropy"
_OBJECTIVE = re.compile(
    rf"(?:{_PLAIN})(?: sqrt)?|binary sigmoid:[\d.]{{1,20}}|(?P<many>multiclass|multiclassova) num_class:(?P<classes>\d{{1,6}})(?: sigmoid:[\d.]{{1,20}})?"
)


def rebuilt(text: str, *, features: int, outputs: int) -> str:
    """The text of a model with the same trees.

    Args:
        text: The model as ``Booster.save_model`` writes it.
        features: Features that the model is given.
        outputs: Values that it must give a row; 1 or 2 for a model of two classes.

    Raises:
        ConfigError: The text is damaged, or its trees cannot be followed; says where.
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
    per_row, objective = _number(about, "num_tree_per_iteration", "the model"), about.get("objective", "")
    kind = _OBJECTIVE.fullmatch(objective)
    if kind is None or int(kind["classes"] or 1) != per_row or _number(about, "num_class", "the model") != per_row:
        raise ConfigError(f"the objective {objective[:80]!r} of the LightGBM model is not one that can be run")
    if len(trees) % per_row:
        raise ConfigError(f"the LightGBM model has {len(trees)} trees, which are no multiple of {per_row}")
    if outputs != per_row and not (outputs == 2 and objective.startswith("binary")):
        raise ConfigError(f"the LightGBM model gives {per_row} values a row, and its item says {outputs}")
    lines = ["tree", "version=v4", f"num_class={per_row}", f"num_tree_per_iteration={per_row}", "label_index=0",
        f"max_feature_idx={known - 1}", f"objective={objective}", *(["average_output"] if "\naverage_output\n" in head else []),
        "feature_names=" + " ".join(f"f{n}" for n in range(known)), "feature_infos=" + " ".join(["[-1:1]"] * known), ""]  # fmt: skip
    for n, tree in enumerate(trees):
        if tree.partition("\n")[0].strip() != str(n):
            raise ConfigError(f"tree {n} of the LightGBM model is missing")
        lines += [f"Tree={n}", *_tree(_values(tree.partition("\nend of trees\n")[0]), f"tree {n}", known), "", ""]
    return "\n".join(
        [*lines, "end of trees", "", "parameters:", "", "end of parameters", "", "pandas_categorical:null", ""]
    )


def _tree(tree: dict[str, str], name: str, features: int) -> list[str]:
    """Lines of a tree."""
    if _number(tree, "num_cat", name) != 0 or tree.get("is_linear", "0") != "0":
        raise ConfigError(f"{name} of the LightGBM model has categories or linear leaves, which are not run")
    leaves = _number(tree, "num_leaves", name)
    if not 1 <= leaves <= _MOST_LEAVES:
        raise ConfigError(f"{name} of the LightGBM model has {leaves} leaves")
    lines = [f"num_leaves={leaves}", "num_cat=0", f"leaf_value={' '.join(_numbers(tree, 'leaf_value', name, leaves))}"]
    if leaves == 1:
        return [*lines, "shrinkage=1"]
    inner = leaves - 1
    threshold = " ".join(_numbers(tree, "threshold", name, inner))
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
    numbers = {"split_feature": split, "decision_type": kinds, "left_child": left, "right_child": right}
    whole = [f"{key}={' '.join(map(str, value))}" for key, value in numbers.items()]
    return [*lines, f"threshold={threshold}", *whole, "is_linear=0", "shrinkage=1"]


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
