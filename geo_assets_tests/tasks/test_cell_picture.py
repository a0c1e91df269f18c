from fractions import Fraction

import numpy as np

from geo_assets.eo.picture import blank
from geo_assets.model.band import Band
from geo_assets.model.geometry import GeoBox
from geo_assets.tasks.cell_picture import CellFrame, eight_bits


def box(left: int, top: int, rows: int, cols: int, res: Fraction = Fraction(10)) -> GeoBox:
    return GeoBox("EPSG:32633", res, Fraction(left), Fraction(top), (rows, cols))


def test_paste_when_a_pixel_of_the_frame_is_one_of_the_boxes_then_each_keeps_its_colour_and_its_place():
    west, east = box(0, 100, 4, 4), box(40, 90, 3, 2)
    frame = CellFrame.around([west, east])
    assert (frame.shape, frame.side) == ((4, 6), 10)
    picture = frame.empty()
    small = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    frame.paste(picture, small, west)
    frame.paste(picture, np.full((1, 1, 3), 200, np.uint8), east)
    np.testing.assert_array_equal(picture[:, :4], small)
    np.testing.assert_array_equal(picture[0, 4:], blank(1, 2)[0])
    assert (picture[1:, 4:] == 200).all()
    np.testing.assert_array_equal(frame.cut(picture, west), small)


def test_paste_when_boxes_are_larger_than_the_picture_then_neighbours_leave_no_gap_and_cover_no_other():
    boxes = [box(10_240 * n, 0, 1024, 1024) for n in range(3)]
    frame = CellFrame.around(boxes)
    assert max(frame.shape) == 512
    picture = frame.empty()
    for n, one in enumerate(boxes):
        frame.paste(picture, np.full((7, 7, 3), n, np.uint8), one)
    assert np.unique(picture).tolist() == [0, 1, 2]
    assert (np.diff(picture[0, :, 0].astype(int)) >= 0).all()


def test_cut_when_a_box_lies_outside_then_it_is_empty_and_pasting_it_changes_nothing():
    frame = CellFrame.around([box(0, 100, 4, 4)])
    outside = box(-400, 500, 4, 4)
    cut = frame.cut(frame.empty(), outside)
    assert cut.size == 0
    picture = frame.empty()
    frame.paste(picture, cut, box(0, 100, 4, 4))
    frame.paste(picture, np.zeros((4, 4, 3), np.uint8), outside)
    np.testing.assert_array_equal(picture, frame.empty())


def test_eight_bits_when_classes_are_wider_then_nodata_stays_and_neighbours_differ():
    band = Band("qa", (), 30, dtype="uint16", nodata=1, unit="class")
    few, facts = eight_bits(np.array([[1, 21824, 21825, 256]], np.uint16), band)
    assert few.dtype == np.uint8
    assert few[0, 0] == facts.fill == 255
    assert len(set(few[0].tolist())) == 4
    reflectance = Band("red", (), 10)
    assert eight_bits(few, reflectance)[1] is reflectance
