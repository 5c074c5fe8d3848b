"""Text recognition: what is read, what is refused, what is learnt."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.data.letterbox import Letterboxing, Placement, letterboxing
from sihl_trainer.errors import BadConfig, BadData
from sihl_trainer.fetch.check import check_images, check_settings, open_to_check
from sihl_trainer.fetch.progress import FetchProgress
from sihl_trainer.tasks import picture
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.text_recognition.annotations import (
    TextAnnotations,
    _letterboxed,
    read,
    read_info,
)
from sihl_trainer.tasks.text_recognition.columns import columns
from sihl_trainer.tasks.text_recognition.head import TextRecognition, decoded
from sihl_trainer.tasks.text_recognition.metric import TextPrediction
from sihl_trainer.tasks.text_recognition.picture import TextPainter
from sihl_trainer.tasks.text_recognition.target import TextTarget
from tests.support.datasets import encoded, job, write
from tests.support.heads import measured, plain
from tests.support.overfit import digits, network, overfitted

DIGITS = tuple("0123456789")
HEAD = {"name": "line", "task": "TextRecognition"}
METADATA = f"task: text recognition\ntokens: [{', '.join(DIGITS)}]\nannotations: lines.yaml\n"


def lines(
    folder: Path, text: str, tokens: Sequence[str] = DIGITS, name: str = "lines.yaml"
) -> TextAnnotations:
    path = folder / name
    path.write_text(text)
    return read(path, HeadInfo(Task.TEXT_RECOGNITION, tuple(tokens)))


def texts(found: TextAnnotations, tokens: Sequence[str]) -> dict[str, str]:
    shown = {}
    for name in found.names:
        target = found.target(name)
        assert target is not None
        shown[name] = "".join(tokens[token] for token in target.tokens)
    return shown


def sized(width: int, height: int, level: int = 2, scale: float = 0) -> TrainingJobSpec:
    training = {
        "inputSize": {"width": width, "height": height},
        "augmentation": {"scale": scale},
    }
    return job({**HEAD, "levels": [level, level]}, training=training)


def target(*tokens: int) -> TextTarget:
    return TextTarget(torch.tensor(tokens, dtype=torch.int64))


def head(tokens: Sequence[str] = DIGITS, level: int = 2) -> TextRecognition:
    torch.manual_seed(0)
    config = HeadConfig(
        name="line",
        task="TextRecognition",
        levels=[level, level],
        settings={"categories": list(tokens)},
    )
    return TextRecognition(config, {level: 16})


# --- format ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("'text'", "text"),
        ("text", "text"),
        ("4071", "4071"),
        ("007", "007"),
        ("no", "no"),
        ("true", "true"),
        ("1e3", "1e3"),
        ('"null"', "null"),
        ("'~'", "~"),
        ('""', ""),
        ("''", ""),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_a_text_is_what_is_written_and_only_a_plain_null_is_none(
    tmp_path: Path, written: str, means: str | None
) -> None:
    tokens = sorted(set("text4071007notrue1e3null~"))
    found = texts(lines(tmp_path, f"a.png: {written}\n", tokens), tokens)
    assert found == ({} if means is None else {"a.png": means})


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("[4, 0]", "must be one text"),
        ("{text: 40}", "must be one text"),
        ("4O7", "no token for 'O' (U+004F), character 2 of '4O7': correct it here, or add it to"),
        ("'4 7'", "no token for ' ' (U+0020), character 2"),
        ("٤", "no token for '٤' (U+0664), character 1"),
    ],
)
def test_an_entry_at_odds_with_the_format_is_refused_by_its_place(
    tmp_path: Path, entry: str, says: str
) -> None:
    with pytest.raises(BadData) as caught:
        lines(tmp_path, f"a.png: 12\nb.png: {entry}\n")
    assert 'lines.yaml, line 2, "b.png"' in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize(("text", "token"), [("e\u0301", "\u00e9"), ("\u00e9", "e\u0301")])
def test_a_text_in_another_unicode_form_than_the_tokens_is_told_as_that(
    tmp_path: Path, text: str, token: str
) -> None:
    with pytest.raises(BadData, match="in another Unicode form than the `tokens` in the metadata"):
        lines(tmp_path, f"a.png: caf{text}\n", ["c", "a", "f", token])


def test_tokens_are_the_metadatas_and_each_is_there_once() -> None:
    assert read_info({"tokens": ["a", " ", "qu"]}, "metadata.yaml").categories == ("a", " ", "qu")
    with pytest.raises(BadData, match=r"metadata\.yaml: `tokens` has 'a' twice"):
        read_info({"tokens": ["a", "b", "a"]}, "metadata.yaml")


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(["a", "ab", "abc", "cd", "d "]), max_size=8))
def test_whatever_tokens_spell_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, spelt: list[str]
) -> None:
    tokens = ("a", "ab", "abc", "cd", "d ")
    text = json.dumps({"a.png": "".join(spelt)})
    found = lines(tmp_path_factory.mktemp("texts"), text, tokens, "lines.json")
    assert texts(found, tokens) == {"a.png": "".join(spelt)}


def test_of_several_tokens_that_fit_the_longest_is_meant(tmp_path: Path) -> None:
    tokens = ("a", "ab", "abc", "c", "cd")
    found = lines(tmp_path, "a.png: abc\nb.png: abcd\n", tokens)
    longest, rest = (found.target(name) for name in ("a.png", "b.png"))
    assert longest is not None
    assert rest is not None
    assert longest.tokens.tolist() == [2]
    assert rest.tokens.tolist() == [1, 4]  # after `abc` nothing would fit


# --- what cannot be learnt -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "width"), [("123456", 24), ("112233", 36), ("111111", 44), ("", 8), ("1", 8)]
)
def test_a_text_takes_a_column_a_token_and_one_between_two_alike(
    tmp_path: Path, text: str, width: int
) -> None:
    found = lines(tmp_path, f"a.png: '1'\nb.png: '{text}'\nc.png: '{text[-1:]}'\n")
    enough = sized(width, 8)
    assert found.unsuited(enough.model.heads[0], enough) is None
    if width > 8:  # the smallest input
        assert found.unsuited(enough.model.heads[0], sized(width - 1, 8)) is not None


def test_a_text_that_is_too_long_is_refused_with_its_need_and_the_remedy(tmp_path: Path) -> None:
    found = lines(tmp_path, "a.png: 12\nb.png: 112233\nc.png: 111\n")
    spec = sized(18, 8, 5, scale=0.1)
    text = found.unsuited(spec.model.heads[0], spec)
    assert text == (
        "lines.yaml, \"b.png\": '112233' needs 9 columns, one for each token and one between two "
        "that are alike, and has 2 (2 texts lack some): the image is 16 pixels wide in the input "
        "where augmentation shrinks it most (by 0.1), and a column 8; raise training.inputSize to "
        "{width: 80, height: 8} or more, begin the head's `levels` (and the neck's) at 4, or map "
        "the image to null"
    )


@settings(deadline=None)
@given(
    size=st.tuples(st.integers(1, 500), st.integers(1, 500)),
    canvas=st.tuples(st.integers(8, 300), st.integers(8, 300)),
    scale=st.floats(0, 0.9),
    level=st.integers(1, 5),
)
def test_the_remedy_is_enough_for_an_image_of_any_size(
    tmp_path_factory: pytest.TempPathFactory,
    size: tuple[int, int],
    canvas: tuple[int, int],
    scale: float,
    level: int,
) -> None:
    found = lines(tmp_path_factory.mktemp("texts"), "a.png: 112\n")
    found.fault("a.png", *size)
    spec = sized(*canvas, level, scale)
    if text := found.unsuited(spec.model.heads[0], spec):
        width, height = text.split("{width: ")[1].split("}")[0].split(", height: ")
        if max(int(width), int(height)) <= 8192:
            spec = sized(int(width), int(height), level, scale)
            assert found.unsuited(spec.model.heads[0], spec) is None


@given(
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    canvas=st.tuples(st.integers(8, 2000), st.integers(8, 2000)),
    shrink=st.floats(0.1, 1),
)
def test_images_are_expected_where_the_letterbox_puts_them(
    size: tuple[int, int], canvas: tuple[int, int], shrink: float
) -> None:
    expected = letterboxing(size, canvas, shrink=shrink).size
    assert tuple(_letterboxed(np.array([size]), canvas, shrink)[0]) == expected


def dataset(folder: Path, size: tuple[int, int], text: str) -> Path:
    image = encoded(Image.new("RGB", size, "white"), "PNG")
    names = [f"{index}.png" for index in range(4)]
    entries = "".join(f"{name}: '{text}'\n" for name in names)
    files = {f"images/{name}": image for name in names}
    files |= {"metadata.yaml": METADATA.encode(), "lines.yaml": entries.encode()}
    write(folder / "train", files)
    return folder


def checked(spec: TrainingJobSpec, root: Path) -> str:
    """What a person is told of it."""
    opened = open_to_check(spec, "train", root)
    check_images(opened, FetchProgress("train"))
    return "".join(check_settings(spec, "train", opened))


def test_an_image_that_is_narrow_in_the_input_is_refused_before_training(tmp_path: Path) -> None:
    # 64 pixels are columns enough, but of a high image's they are mostly padding.
    dataset(tmp_path, (20, 80), "11111")
    with pytest.raises(BadConfig, match=r'"0\.png": .*needs 9 columns.*the image is 16 pixels'):
        checked(sized(64, 64), tmp_path)


@pytest.mark.parametrize(
    ("size", "canvas", "covered", "better"),
    [((320, 32), (320, 320), 10, (320, 32)), ((30, 90), (96, 96), 33, (32, 96))],
)
def test_images_that_leave_most_of_the_input_empty_are_remarked_upon(
    tmp_path: Path,
    size: tuple[int, int],
    canvas: tuple[int, int],
    covered: int,
    better: tuple[int, int],
) -> None:
    dataset(tmp_path, size, "11")
    told = checked(sized(*canvas), tmp_path)
    assert f"cover {covered}% of the input of {canvas[0]} x {canvas[1]}" in told
    assert f"training.inputSize {{width: {better[0]}, height: {better[1]}}}" in told
    assert checked(sized(*better), tmp_path) == ""


# --- head ------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [1, 2, 3, 4])
@pytest.mark.parametrize("width", [64, 70])
def test_there_are_as_many_columns_as_the_fetch_counts_on(level: int, width: int) -> None:
    info = HeadInfo(Task.TEXT_RECOGNITION, DIGITS)
    images = torch.zeros(1, 3, 32, width, dtype=torch.uint8)
    model = network(info, images, (1, 4), (level, level)).eval()
    line = model.head("head")
    assert isinstance(line, TextRecognition)
    assert line._logs(model(images)).shape == (1, columns(width, level), 11)


@pytest.mark.parametrize("vocabulary", [1, 10, 5000])
@pytest.mark.parametrize(("width", "length"), [(8, 0), (8, 4), (32, 1), (32, 16), (512, 100)])
def test_the_loss_is_of_the_order_of_one_at_first(vocabulary: int, width: int, length: int) -> None:
    line = head([str(token) for token in range(vocabulary)])
    wanted = target(*(index % vocabulary for index in range(length)))
    need = 2 * length if vocabulary == 1 else length
    found = line.loss(plain({2: torch.randn(1, 16, 8, max(width, need))}), [wanted])
    assert 0.1 < float(found["ctc"].mean.detach()) < 2.5


def test_images_without_annotation_count_for_nothing() -> None:
    line, features = head(), torch.randn(3, 16, 8, 32)
    some = line.loss(plain({2: features}), [target(1, 1, 2), None, target()])["ctc"]
    alone = line.loss(plain({2: features[[0, 2]]}), [target(1, 1, 2), target()])["ctc"]
    torch.testing.assert_close(some.mean, alone.mean)
    none = line.loss(plain({2: features}), [None, None, None])["ctc"]
    none.total.backward()  # type: ignore[no-untyped-call]
    assert (float(none.total.detach()), float(none.amount)) == (0, 0)
    assert all(weights.grad is not None for weights in line.parameters())


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_confidence_is_the_probability_of_all_paths_that_spell_the_text(seed: int) -> None:
    logs = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(seed)).log_softmax(2)
    [found] = decoded(logs, blank=2)
    spelling = 0.0
    for path in itertools.product(range(3), repeat=4):
        merged = [token for token, _ in itertools.groupby(path) if token != 2]
        if merged == found.tokens.tolist():
            spelling += float(logs[0, range(4), path].sum().exp())
    assert found.confidence == pytest.approx(spelling, rel=1e-4)


def test_repeats_are_one_token_unless_a_blank_parts_them() -> None:
    path = torch.tensor([[0, 0, 2, 0, 1, 1, 2], [2, 2, 2, 2, 2, 2, 2]])
    logs = torch.nn.functional.one_hot(path, 3).float().mul(9).log_softmax(2)
    assert [found.tokens.tolist() for found in decoded(logs, blank=2)] == [[0, 0, 1], []]


def test_errors_count_tokens_and_exact_texts() -> None:
    read_texts = [TextPrediction(target(*tokens).tokens, 1.0) for tokens in ([1, 2], [3], [])]
    found = measured(head(), read_texts, [target(1, 2), target(3, 3), target()])
    assert found["exact_match"] == pytest.approx(2 / 3)
    assert found["character_error_rate"] == pytest.approx(1 / 4)


def test_a_head_learns_eight_lines_by_heart(tmp_path: Path) -> None:
    shown = digits("text", tmp_path, Task.TEXT_RECOGNITION, size=32, input_size=(128, 32))
    found = overfitted(shown.info, shown.images, shown.targets, steps=40, neck=(2, 3))
    assert found["exact_match"] == 1


# --- pictures --------------------------------------------------------------------------------


def test_what_is_written_can_be_read_again(tmp_path: Path) -> None:
    tokens = ("n", "u", "l", "4", "ab", "abc", "cd")
    spelt = {"a.png": (0, 1, 2, 2), "b.png": (), "c.png": (3,), "d.png": (4, 6)}
    painter = TextPainter(
        HeadConfig(
            name="line",
            task="TextRecognition",
            levels=[2, 2],
            settings={"categories": list(tokens)},
        )
    )
    blank = torch.full((3, 32, 128), 255, dtype=torch.uint8)
    fit = Letterboxing((128, 32), Placement(), (128, 32))
    shown = [
        picture.Pictured(
            name, blank, (128, 32), fit, None, TextPrediction(target(*text).tokens, 0.9)
        )
        for name, text in spelt.items()
    ]
    written = picture.files(painter, shown)["annotations.json"].decode()
    found = lines(tmp_path, written, tokens, "lines.json")
    expected = {name: "".join(tokens[token] for token in text) for name, text in spelt.items()}
    assert texts(found, tokens) == expected


def test_texts_are_drawn_on_their_image() -> None:
    painter = TextPainter(head().config)
    canvas = Image.new("RGB", (128, 32), "white")
    for drawn in (
        painter.target(canvas.copy(), target(4, 0)),
        painter.prediction(canvas.copy(), TextPrediction(target(4, 0).tokens, 0.5)),
        painter.target(canvas.copy(), target()),
    ):
        assert drawn.size == canvas.size
        assert drawn.tobytes() != canvas.tobytes()
