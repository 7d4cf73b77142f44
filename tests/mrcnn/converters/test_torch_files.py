"""PyTorch's files in both layouts, without PyTorch; with it where it is installed."""

import pickle
import zipfile

import numpy as np
import pytest

from foreign_weights import (
    assert_same_bits,
    text,
    torch_archive,
    torch_members,
    torch_pickle,
    torch_stream,
    torch_tensor,
)
from mrcnn.converters.pickles import UnsafePickleError
from mrcnn.converters.pytorch import write_state_dict
from mrcnn.converters.torch_files import read_state_dict
from mrcnn.weights.hdf5 import WeightsError

RNG = np.random.default_rng(0)
TENSORS = {
    "fpn.C1.0.weight": RNG.normal(size=(4, 3, 7, 7)).astype(np.float32),
    "fpn.C1.0.bias": np.array([1.5, -0.0, np.nan, np.inf], np.float32),
    "linear.weight": RNG.normal(size=(5, 4)).astype(np.float32),
    "scalar": np.array(2.5, np.float32),
    "empty": np.zeros((0, 4), np.float32),
}


def read(tmp_path, data):
    path = tmp_path / "W.pth"
    path.write_bytes(data)
    return read_state_dict(path)


def test_the_zip_archive_is_read(tmp_path):
    assert_same_bits(read(tmp_path, torch_archive(torch_members(TENSORS))), TENSORS)


def test_the_stream_is_read(tmp_path):
    """With storages in the order of their keys as text, as PyTorch sorts them: 0, 1, 10, 2."""
    many = TENSORS | {f"more.{n}": np.full((2, n), n, np.float32) for n in range(1, 8)}
    assert_same_bits(read(tmp_path, torch_stream(many)), many)


def test_a_big_machine_s_archive_is_read(tmp_path):
    members = torch_members(TENSORS, order=">") | {"byteorder": b"big"}
    assert_same_bits(read(tmp_path, torch_archive(members)), TENSORS)


def test_transposed_and_shared_tensors(tmp_path):
    """Strides of a transposed matrix; a vector that is its second row."""
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    whole = torch_tensor("0", (2, 3))
    strides = b"(J\x03\x00\x00\x00J\x01\x00\x00\x00t"
    turned = whole.replace(
        b"(J\x02\x00\x00\x00J\x03\x00\x00\x00t" + strides,
        b"(J\x03\x00\x00\x00J\x02\x00\x00\x00t(J\x01\x00\x00\x00J\x03\x00\x00\x00t",
    )
    row = whole.replace(
        b"K\x00(J\x02\x00\x00\x00J\x03\x00\x00\x00t" + strides,
        b"K\x03(J\x03\x00\x00\x00t(J\x01\x00\x00\x00t",
    )
    assert whole != turned != row
    pickled = b"\x80\x02}(" + text("turned") + turned + text("row") + row + b"u."
    found = read(tmp_path, torch_archive({"data.pkl": pickled, "data/0": matrix.tobytes()}))
    assert_same_bits(found, {"turned": np.ascontiguousarray(matrix.T), "row": matrix[1]})


def test_parameters_other_types_and_old_names(tmp_path):
    """Of PyTorch 0.3: another function, cuda storages; integers; a parameter around a tensor."""
    old = torch_tensor("0", (2,)).replace(b"_tensor_v2", b"_tensor")
    old = old.replace(b"\x89ccollections\nOrderedDict\n)RtR", b"tR")
    cuda = torch_tensor("1", (2,)).replace(b"ctorch\nFloat", b"ctorch.cuda\nFloat")
    count = torch_tensor("2", (1,)).replace(b"FloatStorage", b"LongStorage")
    parameter = b"ctorch._utils\n_rebuild_parameter\n(" + torch_tensor("3", (2,)) + b"\x88}tR"
    items = zip(("old", "cuda", "count", "parameter"), (old, cuda, count, parameter), strict=True)
    pickled = b"\x80\x02}(" + b"".join(text(name) + each for name, each in items) + b"u."
    pair = np.array([1, 2], np.float32)
    steps = np.array([7], np.int64)
    members = {f"data/{n}": (steps if n == 2 else pair).tobytes() for n in range(4)}
    found = read(tmp_path, torch_archive({"data.pkl": pickled, **members}))
    assert_same_bits(found, {"old": pair, "cuda": pair, "count": steps, "parameter": pair})


# --- files to refuse ------------------------------------------------------------------------------


@pytest.mark.parametrize("poison", [b"cposix\nsystem\n(S'true'\ntR.", b"ctorch.hub\nload\n)R."])
@pytest.mark.parametrize("place", ["zip", "stream", "system", "keys"])
def test_poison_is_refused_wherever_it_is(tmp_path, poison, place):
    tensors = {"w": np.zeros(2, np.float32)}
    stream = torch_stream(tensors)
    if place == "zip":
        data = torch_archive({"data.pkl": poison})
    elif place == "stream":
        data = stream.replace(torch_pickle(tensors, view=b"N"), poison)
    elif place == "system":
        start = stream.index(b"\x80\x02}", 20)
        data = stream[:start] + poison + stream[start:]
    else:
        data = stream.replace(pickle.dumps(["0"], 2), poison)
    with pytest.raises(
        UnsafePickleError, match=r"W\.pth asks for (posix\.system|torch\.hub\.load)"
    ):
        read(tmp_path, data)


@pytest.mark.parametrize("layout", ["zip", "stream"])
def test_truncated_files_are_told(tmp_path, layout):
    data = torch_archive(torch_members(TENSORS)) if layout == "zip" else torch_stream(TENSORS)
    for length in (20, 100, len(data) // 2, len(data) - 5):
        with pytest.raises(
            WeightsError, match=r"W\.pth is not a complete (file of PyTorch|pickle)"
        ):
            read(tmp_path, data[:length])


def test_a_damaged_archive_is_told(tmp_path):
    data = bytearray(torch_archive(torch_members(TENSORS)))
    data[data.index(TENSORS["fpn.C1.0.weight"].tobytes()) + 40] ^= 1
    with pytest.raises(WeightsError, match=r"not a complete file of PyTorch.*CRC"):
        read(tmp_path, bytes(data))


@pytest.mark.parametrize("pack", [torch_archive, torch_stream])
def test_whatever_byte_is_damaged_the_file_is_named(tmp_path, pack):
    """Each byte and each cut: tensors, or a sentence."""
    tensors = {"w": np.zeros(2, np.float32)}
    data = pack(torch_members(tensors)) if pack is torch_archive else pack(tensors)
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0xFF
        for content in (bytes(damaged), data[:place]):
            try:
                assert len(read(tmp_path, content)) <= 1
            except WeightsError as error:
                assert "W.pth" in str(error) and "Errno" not in str(error)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (b"K\x00(J\x05", b"K\x01(J\x05", r"a tensor of shape \(5,\) in a storage of 5"),
        (b"K\x00(J\x05\x00", b"K\x00(J\x05\x01", r"shape \(261,\) in a storage of 5"),
        (b"t(J\x01\x00", b"t(J\x02\x00", r"a tensor of shape \(5,\) in a storage of 5"),
        (
            b"t(J\x01\x00\x00\x00",
            b"t(J\xff\xff\xff\xff",
            r"a tensor of shape \(5,\) in a storage of 5",
        ),
        (b"J\x05\x00\x00\x00tQ", b"J\x05\x00\x00\x7ftQ", "a storage of 2130706437 numbers has 5"),
        (b"storage", b"sturage", "an object outside of the pickle that is no storage"),
    ],
)
def test_claims_that_the_bytes_deny(tmp_path, old, new, sentence):
    pickled = torch_pickle({"w": np.zeros(5, np.float32)})
    assert pickled.count(old) == 1
    with pytest.raises(WeightsError, match=sentence):
        read(tmp_path, torch_archive({"data.pkl": pickled.replace(old, new), "data/0": bytes(20)}))


def test_a_small_file_does_not_become_large(tmp_path):
    zeros = {"w": np.zeros(500_000, np.float32)}
    with pytest.raises(WeightsError, match="it is compressed as such files are not"):
        read(tmp_path, torch_archive(torch_members(zeros), zipfile.ZIP_DEFLATED))
    row = torch_tensor("0", (1000,))
    many = b"".join(text(f"w{n}") + row for n in range(100))
    with pytest.raises(WeightsError, match="names arrays of more bytes than it has"):
        pickled = b"\x80\x02}(" + many + b"u."
        read(tmp_path, torch_archive({"data.pkl": pickled, "data/0": bytes(4000)}))


def test_texts_in_the_place_of_numbers_do_not_multiply(tmp_path):
    """A step that is a text would be repeated shape times: 2 GB of "x" here."""
    pickled = torch_pickle({"w": np.zeros(5, np.float32)})
    shape, steps = b"(J\x05\x00\x00\x00t", b"(J\x01\x00\x00\x00t"
    assert pickled.count(shape + steps) == 1
    bomb = pickled.replace(shape + steps, b"(J\x00\x00\x00\x7ft(U\x01xt")
    with pytest.raises(WeightsError, match="a shape that is no whole numbers"):
        read(tmp_path, torch_archive({"data.pkl": bomb, "data/0": bytes(20)}))


@pytest.mark.parametrize("claim", [-1, 4, 2**62])
def test_the_stream_s_own_count_is_not_believed(tmp_path, claim):
    data = torch_stream({"w": np.zeros(5, np.float32)})
    stored = (5).to_bytes(8, "little") + bytes(20)
    assert data.endswith(stored)
    data = data.removesuffix(stored) + claim.to_bytes(8, "little", signed=True) + bytes(20)
    with pytest.raises(WeightsError, match="of 5 numbers says that it has another count"):
        read(tmp_path, data)


def test_other_archives_and_files(tmp_path):
    with pytest.raises(WeightsError, match=r"a zip archive without the file data\.pkl"):
        read(tmp_path, torch_archive({"config.json": b"{}"}))
    with pytest.raises(WeightsError, match="no state_dict: save model"):
        read(tmp_path, torch_archive({"data.pkl": pickle.dumps({"epoch": 3}, 2)}))
    with pytest.raises(WeightsError, match="neither PyTorch's zip archive nor its stream"):
        read(tmp_path, b"something else altogether")
    stream = torch_stream(TENSORS)
    with pytest.raises(WeightsError, match="neither PyTorch's zip archive nor its stream"):
        read(tmp_path, stream.replace(pickle.dumps(1001, 2), pickle.dumps(1002, 2)))


# --- beside PyTorch itself ------------------------------------------------------------------------


def test_what_pytorch_writes_for_us_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    write_state_dict(TENSORS, tmp_path / "W.pth")
    found = torch.load(tmp_path / "W.pth", weights_only=True)
    assert_same_bits({name: each.numpy() for name, each in found.items()}, TENSORS)
    assert_same_bits(read_state_dict(tmp_path / "W.pth"), TENSORS)


@pytest.mark.parametrize("as_zip", [True, False])
def test_what_pytorch_writes_is_read(tmp_path, as_zip):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(array.copy()) for name, array in TENSORS.items()}
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    tensors |= {"turned": tensors["linear.weight"].T, **model.state_dict()}
    path = tmp_path / "W.pth"
    torch.save(tensors, path, _use_new_zipfile_serialization=as_zip)
    expected = {name: np.array(each.numpy(), order="C") for name, each in tensors.items()}
    assert_same_bits(read_state_dict(path), expected)
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=as_zip)
    assert_same_bits(read_state_dict(path), {n: e.numpy() for n, e in model.state_dict().items()})
