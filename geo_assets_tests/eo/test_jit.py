import numpy as np

from geo_assets.eo._jit import kernel


def test_kernel_when_no_folder_can_keep_it_then_it_is_compiled_all_the_same():
    made: dict = {}
    exec("def double(x):\n    return 2 * x", made)  # a function of no file: numba finds no place for it
    assert kernel(made["double"])(np.arange(3)).tolist() == [0, 2, 4]
