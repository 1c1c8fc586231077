from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from typer.testing import CliRunner

from aetx.cli import app
from aetx.core import weights
from aetx.errors import EnvironmentFault, RecipeError
from aetx.kernels.neural_networks import build
from aetx.run.stop import Stopped
from aetx.train.loop import Loop, loss, share_of_rate
from aetx.train.pairs import Pair
from aetx.train.session import _begin, train
from aetx.train.settings import Choice, Loaded, Training
from aetx.train.validation import score, traced

OPTIONS = {"width": 4, "inner": 4, "outer_blocks": 1, "inner_blocks": 1}


def begin(training: Training, folder: Path, form: str = "residual") -> Loop:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(form, **(OPTIONS if form == "residual" else {}))
    return Loop(training, "key", network, "cpu", folder / "state.safetensors", folder)


def bits(loop: Loop) -> dict[str, bytes]:
    return {name: one.numpy().tobytes() for name, one in loop.network.state_dict().items()}


def test_training_lowers_the_error(pairs: list[Pair], training: Training, tmp_path: Path) -> None:
    longer = training.model_copy(update={"steps": 80})
    loop = begin(longer, tmp_path)
    before = score(loop.network, pairs[:1], longer).rmse
    loop.run(pairs, lambda history, found: None)
    assert score(loop.network, pairs[:1], longer).rmse < 0.7 * before
    assert [row[0] for row in loop.history.judged] == [40, 80]
    assert loop.history.loss[-1][0] == 80


@pytest.mark.parametrize("form", ["residual", "published"])
def test_a_training_that_is_stopped_and_goes_on_ends_with_the_same_bits(
    form: str, pairs: list[Pair], training: Training, tmp_path: Path
) -> None:
    training = training.model_copy(update={"crop": 32, "steps": 4})
    unbroken = begin(training, tmp_path / "a", form)
    unbroken.run(pairs, lambda history, found: None)

    def stop(history: object, found: object) -> None:
        if broken.history.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    broken = begin(training, tmp_path / "b", form)
    with pytest.raises(Stopped, match="SIGTERM"):
        broken.run(pairs, stop)
    resumed = begin(training, tmp_path / "b", form)
    assert resumed.history.step == broken.history.step == 2
    resumed.run(pairs, lambda history, found: None)
    assert bits(resumed) == bits(unbroken)
    assert resumed.history.loss == unbroken.history.loss


def test_the_state_of_another_training_is_refused(pairs: list[Pair], training: Training, tmp_path: Path) -> None:
    begin(training, tmp_path).run(pairs, lambda history, found: None)
    with torch.random.fork_rng(), pytest.raises(RecipeError, match="the state of another training"):
        Loop(training, "other", build("residual", **OPTIONS), "cpu", tmp_path / "state.safetensors", tmp_path)


def test_a_damaged_state_is_refused_in_words(pairs: list[Pair], training: Training, tmp_path: Path) -> None:
    begin(training, tmp_path).run(pairs, lambda history, found: None)
    file = tmp_path / "state.safetensors"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(RecipeError, match="remove it to begin anew"):
        begin(training, tmp_path)


def test_the_rate_rises_then_falls_as_a_cosine(training: Training) -> None:
    long = training.model_copy(update={"steps": 1000, "warm_up": 0.1})
    shares = [share_of_rate(step, long) for step in range(1000)]
    assert shares[0] == pytest.approx(1 / 101)
    assert max(shares) == shares[100] == 1
    assert_allclose(shares[550], 0.505, atol=1e-3)
    assert shares[-1] == pytest.approx(0.01, abs=1e-3)


def test_the_loss_is_the_mean_square_inside_the_margin(training: Training) -> None:
    made, wanted = torch.zeros(1, 1, 16, 16, 16), torch.zeros(1, 1, 16, 16, 16)
    made[..., 0] = 9.0
    made[..., 8, 8, 8] = 2.0
    assert float(loss(made, wanted, training)) == pytest.approx(4 / 12**3)


def test_atoms_are_traced_where_a_perfect_output_has_them(pairs: list[Pair], training: Training) -> None:
    from tests.train.conftest import gaussians

    atom = np.array([[5.0, 6.0, 7.0], [15.2, 14.9, 6.6], [12.3, 5.5, 16.4]])
    found = traced(gaussians(atom, 1.257, (24, 24, 24)).astype(np.float32), 0.358, training)
    assert_allclose(sorted(found.tolist()), sorted((atom[:, ::-1] * 0.358).tolist()), atol=0.01)


def test_a_training_file_becomes_weights_a_card_and_a_report(loaded: Loaded, made: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    done = train(loaded, output=tmp_path / "out", pairs=made, threads=1, quiet=True, say=heard.append)
    network, card = weights.read(done.file)
    assert card.options == OPTIONS
    assert card.parameters == sum(one.numel() for one in network.parameters())
    assert card.training["pairs"] == 2
    assert card.training["settings"]["sources"][0]["recipe"] == "tiny.yaml"
    assert card.scores["validation: atoms"] == done.score.atoms > 10
    assert [text.partition(":")[0] for text in heard] == ["step 3 of 6", "step 6 of 6"]
    page = done.report.read_text("utf-8")
    assert "Learning curves" in page
    assert "Input, output, target" in page
    assert "dose: 7000 e/angstrom^2 to 70000 e/angstrom^2" in page
    assert "iterations: 5 | 6" in page
    again = train(loaded, output=tmp_path / "out", pairs=made, threads=1, quiet=True)
    assert again.card.sha256 == card.sha256


def test_blocks_beyond_those_of_the_start_add_nothing_at_first(loaded: Loaded, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        small = build("residual", **OPTIONS)
        for one in small.state_dict().values():
            one += 0.05 * torch.randn_like(one)
    scope = {"pixel_size": (0.3, 0.4), "largest_tilt": (60.0, 75.0), "width": 0.45}
    card = weights.Card(name="small", form="residual", options=OPTIONS, **scope)
    weights.write(tmp_path / "small.safetensors", small, card)
    options = {**OPTIONS, "inner_blocks": 3}
    more = loaded.training.model_copy(
        update={"start": "small.safetensors", "network": Choice(form="residual", options=options)}
    )
    large, _ = _begin(more, tmp_path)
    volume = torch.rand(1, 1, 16, 16, 16)
    assert large.reach > small.reach
    assert_allclose(large.eval()(volume).detach(), small.eval()(volume).detach(), atol=1e-6)
    other = more.model_copy(update={"network": Choice(form="residual", options={**OPTIONS, "width": 8})})
    with pytest.raises(RecipeError, match="with as many blocks or more"):
        _begin(other, tmp_path)


def test_a_crop_that_the_network_does_not_take_is_told(loaded: Loaded, tmp_path: Path) -> None:
    odd = replace(loaded, training=loaded.training.model_copy(update={"crop": 18}))
    with pytest.raises(RecipeError, match="a multiple of 4 beyond 4"):
        train(odd, output=tmp_path)


def test_a_device_that_torch_does_not_have_is_told(loaded: Loaded, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="use --device cpu"):
        train(loaded, output=tmp_path, device="cuda:99")


def test_the_command_trains_and_fine_tunes(loaded: Loaded, made: Path, tmp_path: Path) -> None:
    call = ["train", str(loaded.path), "-o", str(tmp_path / "one"), "--pairs", str(made), "--threads", "1", "--json"]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    file = json.loads(done.stdout)["train"]["weights"]
    lines = [f"start: {file}" if line.startswith("network:") else line for line in loaded.text.splitlines()]
    tuned = tmp_path / "tuned.yaml"
    tuned.write_text("\n".join(lines).replace("name: small", "name: tuned"), encoding="utf-8")
    done = CliRunner().invoke(app, ["train", str(tuned), "-o", str(tmp_path / "two"), *call[4:]])
    assert done.exit_code == 0, done.output
    card = json.loads(done.stdout)["train"]["card"]
    assert card["name"] == "tuned"
    assert card["options"] == OPTIONS
    assert card["training"]["start"].startswith("small, sha256 ")
