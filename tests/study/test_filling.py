"""Items filled in by a model of whole ones: what is shown stays, and what is hidden comes of the rest."""

import dataclasses
import logging
import re

import numpy as np
import pytest
import torch

from sagd.api import Model
from sagd.build.objects import omission_mode
from sagd.build.schema import OmissionConfig, RunConfig
from sagd.build.text import from_dict
from sagd.data.corruption import Corruption, corrupt, generators
from sagd.data.signals import Signals
from sagd.errors import InputError
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.basis.fourier import whole as all_of
from sagd.noise.spectra.base import Spectrum
from sagd.store.model import load_model
from sagd.study.filling import Damage, Hidden, fill, fill_files
from sagd.study.laps import train_in_laps
from sagd.study.train import train

pytestmark = pytest.mark.usefixtures("undrawn")

BASIS = FourierBasis((8, 8))


def config(laps=0, **settings):
    return from_dict(
        RunConfig,
        {
            "network": {"widths": [8]},
            "training": {"steps": 4, "batch_size": 8, "sample_every": 0, "warmup_steps": 2, "precision": "no"},
            "sampling": {"sampler": "dpm_solver", "steps": 3},
            "process": {"omission": {"laps": laps}},
            **settings,
        },
    )


def items(count=40):
    x = torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(0)).cumsum(-1).cumsum(-2) / 8
    return x.clamp(-1, 1)


@pytest.fixture(scope="module")
def missing():
    return Corruption.parse("subsampled(keep=0.6)").places((8, 8), generators(0, range(40)))


@pytest.fixture(scope="module")
def scans(tmp_path_factory, missing):
    """Items that lack frequencies of their own, with masks beside them; and whole ones."""
    folder = tmp_path_factory.mktemp("scans")
    for name in ("scans", "whole"):
        (folder / name).mkdir()
    for k, x in enumerate(items()):
        c = torch.fft.fft2(x[0].double()) * all_of(~missing[k][None], 8)[0]
        np.save(folder / f"scans/{k:02d}.npy", torch.fft.ifft2(c).real.float().numpy())
        np.save(folder / f"scans/{k:02d}.mask.npy", all_of(~missing[k][None], 8)[0].numpy())
        np.save(folder / f"whole/{k:02d}.npy", x[0].numpy())
    return folder


@pytest.fixture(scope="module")
def model(scans):
    data = {"source": str(scans / "scans"), "observed": "mask"}
    return load_model(train_in_laps(config(1, data=data), scans / "laps"))


@pytest.fixture(scope="module")
def plain(scans):
    return load_model(train(config(data={"source": str(scans / "whole")}), scans / "plain"))


def test_masks_are_those_of_the_training_data(scans, model, missing):
    """Where the model was trained on masks nobody has to name them again; what is shown of each item stays."""
    hidden = Hidden.of(model)
    assert hidden == Hidden("", "mask", "fft")
    result = fill_files(model, [scans / "scans"], hidden, clean=scans / "whole")
    assert len(result.names) == 40
    assert result.change_outside < 1e-6
    share = (missing * BASIS.multiplicity()).sum((1, 2)) / 64
    assert result.replaced == pytest.approx(float(share.mean()))
    torch.testing.assert_close(result.b, missing.double().mean(0))
    off = BASIS.forward((result.restoration.images - result.damaged).double()).abs()
    assert (off.amax((0, 1))[missing.any(0)] > 1e-3).all()
    assert set(result.psnr) == {"damaged", "restored"}
    assert result.to_dict()["mode"] == "posterior mean"
    again = fill_files(model, [scans / "scans"], hidden)
    assert torch.equal(again.restoration.images, result.restoration.images)


def test_a_file_of_many_items_has_masks_of_its_own(scans, model, missing, tmp_path, caplog):
    order = torch.arange(3)
    np.save(tmp_path / "stack.npy", np.stack([np.load(scans / f"scans/{k:02d}.npy") for k in order]))
    centred = torch.fft.fftshift(all_of(~missing[order], 8), dim=(1, 2)).numpy()
    np.save(tmp_path / "stack.seen.npy", centred)
    hidden = Hidden.of(model, observed="seen", order="centred")
    result = fill_files(model, [tmp_path / "stack.npy"], hidden, samples=2)
    assert "nothing was observed" not in caplog.text
    fill_files(model, [tmp_path / "stack.npy"], Hidden.of(model, observed="seen"), samples=1)
    said = (
        r"3 fields: [\d.]+ % of the power of items .* is replaced; with observed_order=centred it would be [\d.e-]+ %"
    )
    assert re.search(said, caplog.text)
    assert result.names == ("stack.npy[0]", "stack.npy[1]", "stack.npy[2]")
    torch.testing.assert_close(result.b, missing[order].double().mean(0))
    assert result.restoration.samples.shape == (2, 3, 1, 8, 8)
    torch.testing.assert_close(result.restoration.samples.mean(0), result.restoration.images)
    torch.testing.assert_close(result.restoration.samples.std(0), result.restoration.std)


def test_any_model_of_whole_items_fills_in_a_band(plain, tmp_path, caplog):
    """All of it where nothing is left in it; all else stays."""
    caplog.set_level(logging.INFO)
    assert Hidden.of(plain) is None
    band = "ring(low=0.4, high=0.6)"
    inside = mask(Spectrum.parse(band), BASIS) > 0
    without = BASIS.inverse(~inside * BASIS.forward(items().double())).float()
    for k, x in enumerate(without):
        np.save(tmp_path / f"{k:02d}.npy", x[0].numpy())
    result = fill_files(plain, [tmp_path], Hidden.of(plain, band=band))
    assert f"next to nothing is left in {band}: all of it is filled in" in caplog.text
    assert result.replaced == pytest.approx(float((inside * BASIS.multiplicity()).sum() / 64))
    off = BASIS.forward((result.restoration.images - result.damaged).double()).abs().amax((0, 1))
    assert float(off[~inside].max()) < 1e-5
    assert float(off[inside].min()) > 1e-3
    assert result.method.band == band


def test_what_a_band_still_shows_is_weighed_in(plain, tmp_path, caplog):
    """Damage has a measured power, which is finite and lies where the true one does; a page tells what has changed."""
    caplog.set_level(logging.INFO)
    wave = "fringes(waves=1, low=0.29, high=0.31, bend=0, vary=0, level=0.5)"
    y = corrupt(items(400), Corruption.parse(wave), 0)
    band = Corruption.parse(wave).band((8, 8), 0)
    damage = Damage.of_band(plain, str(band), y)
    assert "stands out of what lies beside it, and is taken for damage" in caplog.text
    true = BASIS.forward((y - items(400)).double()).abs().square().mean(0)[None]
    assert damage.noise.isfinite().all()
    assert int(damage.noise.argmax()) == int(true.argmax())
    for k, x in enumerate(y[:40]):
        np.save(tmp_path / f"{k:02d}.npy", x[0].numpy())
    result = fill_files(plain, [tmp_path], Hidden(str(band)), take="network")
    inside = mask(band, BASIS) > 0
    assert result.replaced == pytest.approx(float((inside * BASIS.multiplicity()).sum() / 64))
    # What leaks beside the band is taken out as well, which the figure of what has changed outside says.
    assert result.change_outside > 1e-4


def test_the_network_is_held_against_what_needs_none(scans, plain):
    """Of a band, with clean items known: the nearest is taken, or what is asked for."""
    band = Hidden.of(plain, band="ring(low=0.4, high=0.6)")
    result = fill_files(plain, [scans / "whole"], band, clean=scans / "whole")
    assert result.sides.taken == "clean"  # nothing is damaged, and next to nothing is taken out
    assert result.psnr["restored"] > 40
    asked = fill_files(plain, [scans / "whole"], band, clean=scans / "whole", take="network")
    assert asked.sides is None
    with pytest.raises(InputError, match="made without the network, and samples are drawn by it"):
        fill_files(plain, [scans / "whole"], band, take="clean", samples=2)


def test_a_network_that_is_not_believed_is_not_run(scans, plain, monkeypatch):
    """Of a model that no lap has made, unless it is asked for or held against clean items."""
    band = "ring(low=0.4, high=0.6)"
    model = dataclasses.replace(plain, omission=OmissionConfig(mode="cleaned", band=band))
    known = fill_files(model, [scans / "whole"], Hidden(band), clean=scans / "whole").sides
    assert known.ways == ("network", "clean", "removal")
    monkeypatch.setattr("sagd.study.filling.fill", lambda *_: pytest.fail("the network was asked"))
    sides = fill_files(model, [scans / "whole"], Hidden(band)).sides
    assert sides.ways == ("clean", "removal")
    assert sides.taken == "clean"
    said = "; the model learnt from damaged data, without laps, so that the network is not run (take network runs it);"
    assert said in sides.line()


def test_both_ways_are_tried_where_the_truth_is_not_known(plain, tmp_path, caplog):
    """On draws of the model, under what was taken out; not where nothing is to be chosen."""
    caplog.set_level(logging.INFO)
    wave = "fringes(waves=1, low=0.29, high=0.31, bend=0, vary=0, level=0.5)"
    y = corrupt(items(40), Corruption.parse(wave), 0)
    for k, x in enumerate(y):
        np.save(tmp_path / f"{k:02d}.npy", x[0].numpy())
    hidden = Hidden(str(Corruption.parse(wave).band((8, 8), 0)))
    result = fill_files(plain, [tmp_path], hidden)
    assert [len(errors) for errors in result.sides.tried.values()] == [32, 32]
    assert min(min(errors) for errors in result.sides.tried.values()) > 0
    assert "the model was given" in result.method.told.lower() or "network is given cleaned" not in caplog.text
    assert set(result.to_dict()["sides"]["trials_psnr"]) == {"network", "clean"}
    single = fill_files(plain, [tmp_path / "00.npy"], hidden)
    assert len(single.sides.tried["network"]) == 4  # under several draws
    for chosen in ({"take": "clean"}, {"samples": 2}):
        sides = fill_files(plain, [tmp_path / "00.npy"], hidden, **chosen).sides
        assert sides is None or not sides.tried


def test_a_band_of_which_nothing_stands_out_is_told(plain):
    """In plain words, and items stay as they are."""
    x = torch.randn(64, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    band = "strip(low=0.2, width=0.1)"
    damage, line = Damage.measured(Spectrum.parse(band), x, band)
    assert line.startswith(f"nothing of a damage stands out of {band} for certain: the network leaves it next to")
    assert not damage.noise.any()
    nothing = Damage(torch.zeros(1, 1, 8, 5), BASIS, torch.zeros(1, 1, 8, 5))
    torch.testing.assert_close(fill(plain, items(4), nothing).images, items(4), atol=1e-6, rtol=0)


def test_files_that_do_not_vary_stay_as_they_are(plain, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for k in range(3):
        np.save(tmp_path / f"{k}.npy", np.full((8, 8), 0.1 * k, np.float32))
    result = fill_files(plain, [tmp_path], Hidden("ring(low=0.4, high=0.6)"))
    assert "nothing varies in the items, and nothing is filled in" in caplog.text
    torch.testing.assert_close(result.restoration.images, result.damaged)


def test_laps_of_a_band_know_what_they_were_of(tmp_path):
    """The band that a mode found or was given is that which the model of whole items fills in."""
    band = "ring(low=0.4, high=0.6)"
    told = config(process={"omission": {"mode": "fill", "band": band, "laps": 1}})
    model = load_model(train_in_laps(told, tmp_path / "run", data=Signals("noise", items())))
    first = load_model(tmp_path / "run/lap-0")
    assert model.omission.mode == "none"
    assert Hidden.of(model) == Hidden(str(omission_mode(first.omission).place))
    assert Hidden.of(first) is None


def test_bands_are_named_to_people_without_their_guards(plain, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    band = "ring(low=0.4, high=0.45)"
    guarded = f"guarded(band='{band}', by=0.02)"
    assert Spectrum.parse(guarded).label == band
    for k, x in enumerate(items(4)):
        np.save(tmp_path / f"{k}.npy", x[0].numpy())
    result = fill_files(plain, [tmp_path], Hidden(guarded))
    assert band in caplog.text
    assert "guarded" not in caplog.text
    assert result.method.band == band


def test_what_cannot_be_filled_in_is_refused(scans, model, plain, tmp_path):
    with pytest.raises(InputError, match="give one"):
        Hidden.of(plain, band="ring(low=0.4)", observed="mask")
    with pytest.raises(InputError, match="none of the frequencies"):
        Damage.of_band(plain, "ring(low=0.01, high=0.02)", items(4))
    with pytest.raises(InputError, match="every frequency"):
        Damage.of_band(plain, "ring(low=0)", items(4))
    with pytest.raises(InputError, match=r"00\.npy' has no mask"):
        fill_files(plain, [scans / "whole"], Hidden("", "mask"))
    with pytest.raises(InputError, match="at least 0"):
        fill(plain, items(2), Damage.of_band(plain, "ring(low=0.4, high=0.6)", items(2)), samples=-1)
    np.save(tmp_path / "gap.npy", np.full((8, 8), np.nan, np.float32))
    np.save(tmp_path / "gap.mask.npy", np.ones((8, 8)))
    with pytest.raises(InputError, match="missing values"):
        fill_files(plain, [tmp_path / "gap.npy"], Hidden("", "mask"))
    banded = config(process={"omission": {"mode": "fill", "band": "ring(low=0.4, high=0.6)"}})
    left_out = load_model(train(banded, tmp_path / "banded", data=Signals("noise", items())))
    with pytest.raises(InputError, match="leave out 'ring"):
        fill(left_out, items(2), Damage(torch.zeros(1, 1, 8, 5), BASIS, torch.zeros(1, 1, 8, 5)))
    coloured = config(process={"basis": "cosine", "spectrum": "whitening(exponent=0.5)"})
    other = load_model(train(coloured, tmp_path / "cosine", data=Signals("noise", items())))
    with pytest.raises(InputError, match="cosine"):
        fill(other, items(2), Damage(torch.ones(2, 1, 8, 5), BASIS, torch.ones(2, 1, 8, 5)))


def test_masks_for_a_model_that_knows_another_basis(scans, plain, missing):
    """White noise is white in all of them."""
    assert not plain.statistics.basis.is_fourier
    assert Hidden.of(plain) is None
    result = fill_files(plain, [scans / "scans"], Hidden.of(plain, observed="mask"))
    assert result.change_outside < 1e-6
    assert result.basis == BASIS
    torch.testing.assert_close(result.b, missing.double().mean(0))


def test_python_says_the_same(scans, model, missing):
    """Arrays with masks or a band, or one line on what is none."""
    own = Model(model)
    x, masks = np.load(scans / "scans/00.npy")[None, None], all_of(~missing[:1], 8).numpy()
    seen = own.trained.meaning.to_model(torch.from_numpy(x)).numpy()
    filled_in = own.restore(seen, observed=masks, samples=2)
    assert filled_in.images.shape == seen.shape
    again = own.restore(seen, observed=np.fft.fftshift(masks, axes=(1, 2)), observed_order="centred", samples=2)
    np.testing.assert_array_equal(again.images, filled_in.images)
    assert own.restore(torch.from_numpy(seen), band="ring(low=0.4, high=0.6)", samples=1).std is None
    gap = seen.copy()
    gap[0, 0, 0, 0] = np.nan
    for given, options, message in [
        (gap, {"observed": masks}, "reach from nan"),
        (seen, {"observed": masks, "band": "ring(low=0.4)"}, "give one"),
        (seen, {"observed": masks, "observed_order": "centered"}, "one of fft, centred, got 'centered'"),
        (seen, {"observed": []}, "a mask for each of 1 fields"),
        (np.concatenate([seen, seen]), {"observed": masks}, "a mask for each of 2 fields"),
        (np.zeros((1, 1, 4, 16), np.float32), {"band": "ring(low=0.4)"}, "smaller than the model's windows"),
    ]:
        with pytest.raises(InputError, match=message):
            own.restore(given, **options)
