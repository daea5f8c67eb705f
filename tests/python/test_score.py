import numpy as np
import pytest

import bindscan

SEQUENCES = ["ACCGGAAGTGACCGGAAGTG", "acgtnacgtnacgtn", "A" * 30, "GGGGGGGGGGGGGGGGGCCCCCCTTTTTTTTACGTACCGGAAGTG"]


def test_scores_are_those_of_the_command(command, tmp_path):
    file = tmp_path / "sequences.txt"
    file.write_text("\n".join(SEQUENCES))
    rows = command("score", file, "-m", "ELK1", "-m", "models/ctcf-consensus.meme").splitlines()
    want = np.array([[float(value) for value in row.split("\t")[1:]] for row in rows[1:]], dtype=np.float32)
    model = bindscan.load(["ELK1", "models/ctcf-consensus.meme"])
    scores = model.score(SEQUENCES)
    assert scores.dtype == np.float32 and scores.shape == (4, 2)
    np.testing.assert_allclose(scores, want, rtol=1e-6)
    np.testing.assert_array_equal(model.score(SEQUENCES[0]), scores[0])


def test_many_sequences_have_the_same_scores_with_any_threads():
    letters = np.random.default_rng(1).choice(list("ACGT"), (2000, 60))
    sequences = ["".join(row) for row in letters]
    elk1 = bindscan.load("ELK1")
    scores = elk1.score(sequences)
    np.testing.assert_array_equal(scores, elk1.score(sequences, threads=1))
    np.testing.assert_array_equal(scores[17], elk1.score(sequences[17]))
    assert len(np.unique(scores)) > 1900


def test_one_hot_is_the_layout_of_pytorch():
    array = bindscan.one_hot(SEQUENCES)
    assert array.shape == (4, 4, max(map(len, SEQUENCES))) and array.dtype == np.float32
    np.testing.assert_array_equal(array[0, :, :3], [[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 0]])
    assert (array[1, :, 4] == 0.25).all() and (array[0, :, 20:] == 0.25).all()
    assert bindscan.letters(array)[0] == SEQUENCES[0] + "N" * 25
    same = [sequence for sequence in SEQUENCES if len(sequence) == 45]
    elk1 = bindscan.load("ELK1")
    np.testing.assert_array_equal(elk1.score(bindscan.one_hot(same)), elk1.score(same))
    np.testing.assert_array_equal(elk1.score(bindscan.one_hot(same[0])), elk1.score(same[0]))
    # Any kind of number, and any order in memory.
    np.testing.assert_array_equal(elk1.score(bindscan.one_hot(same).astype(np.int8)), elk1.score(same))
    turned = np.ascontiguousarray(bindscan.one_hot(same).transpose(0, 2, 1)).transpose(0, 2, 1)
    np.testing.assert_array_equal(elk1.score(turned), elk1.score(same))


def test_a_sequence_too_short_has_no_score():
    matrix = bindscan.load("models/ctcf-consensus.meme")
    assert np.isnan(matrix.score(["ACGT"])).all()
    assert matrix.score([]).shape == (0, 1)


@pytest.mark.parametrize(
    "sequences, words",
    [
        (["ACGT", "AC!T"], "sequence 2: '!' (character 3) is not a nucleotide"),
        ("ACG?", "'?' (character 4) is not a nucleotide"),
        ([1, 2], "sequence 1: is neither a string nor one-hot"),
        (np.full((1, 4, 3), [[0.5], [0.5], [0], [0]], dtype=np.float32), "sequence 1: column 1 is not one-hot"),
        (np.zeros((2, 5, 3), dtype=np.float32), "one-hot sequences have the shape (N, 4, L)"),
        (np.zeros(3, dtype=np.float32), "one-hot sequences have the shape (N, 4, L)"),
    ],
)
def test_wrong_sequences_are_refused(sequences, words):
    with pytest.raises(bindscan.RequestError) as error:
        bindscan.load("ELK1").score(sequences)
    assert words in str(error.value)


def test_models_are_lists():
    models = bindscan.load(["ELK1", "GABPA"])
    assert len(models) == 2 and models["GABPA"].names == models[1].names == ["GABPA"]
    assert [model.names for model in models] == [["ELK1"], ["GABPA"]]
    assert models.specs[0]["name"] == "ELK1"
    with pytest.raises(KeyError):
        models["CTCF"]
    with pytest.raises(bindscan.ModelError, match="no such file and no bundled model"):
        bindscan.load("nothing")
    with pytest.raises(FileNotFoundError):
        bindscan.load("no/such/model.onnx")
    with pytest.raises(bindscan.RequestError, match="two models are named ELK1"):
        bindscan.load(["ELK1", "ELK1"])


def test_a_saved_model_is_the_same(tmp_path):
    elk1 = bindscan.load("ELK1")
    elk1.save(tmp_path / "elk1.onnx")
    again = bindscan.load(tmp_path / "elk1.onnx")
    np.testing.assert_array_equal(again.score(SEQUENCES), elk1.score(SEQUENCES))
