import torch

from sagd.omission.dead import dead_lines


def field(*spatial):
    return torch.randn(2, *spatial, generator=torch.Generator().manual_seed(0))


def test_dead_columns_and_rows_are_found():
    x = field(20, 30)
    x[:, :, 7] = 0.5
    x[:, 12, :] = torch.tensor([[1.0], [2.0]])  # stuck in each channel at a value of its own
    assert dead_lines(x) == ((0, 12),)  # column 7 crosses row 12, where it is another value
    x = field(20, 60)
    x[..., 7:9] = 0.0
    assert dead_lines(x) == ((1, 7), (1, 8))


def test_planes_of_volumes_are_found():
    x = field(12, 10, 11)
    x[:, :, 4] = 3
    assert dead_lines(x) == ((1, 4),)


def test_margins_bars_and_still_pictures_are_content():
    margin = field(40, 40)
    margin[..., :1], margin[..., -1:] = 0, 0
    bar = field(40, 40)
    bar[..., 10:20] = 0
    wide = field(400, 400)
    wide[..., 10:14] = 0
    for x in (margin, bar, wide, torch.zeros(1, 9, 9), torch.arange(400.0).reshape(1, 20, 20) // 20):
        assert dead_lines(x) == ()


def test_records_have_no_lines():
    assert dead_lines(torch.zeros(1, 50)) == ()
