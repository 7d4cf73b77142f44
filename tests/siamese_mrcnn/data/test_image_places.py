"""Pictures are found below their folder, however they are named, and never outside of it."""

import pytest

from siamese_mrcnn.data.image_places import places_of


@pytest.fixture
def photos(tmp_path):
    for name in (
        "secret.png",
        "photos/1.png",
        "photos/a/1.png",
        "photos/a/b/2.png",
        "photos/ü 3.png",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "photos"


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("1.png", "1.png"),
        (" 1.png ", "1.png"),
        ("./1.png", "1.png"),
        ("photos/1.png", "1.png"),
        ("a/1.png", "a/1.png"),
        ("x/a/1.png", "a/1.png"),
        ("a\\1.png", "a/1.png"),
        ("D:\\data\\photos\\a\\b\\2.png", "a/b/2.png"),
        ("D:a\\1.png", "a/1.png"),
        ("\\\\server\\share\\1.png", "1.png"),
        ("..\\..\\label-studio\\media\\upload\\4\\1.png", "1.png"),
        ("/home/somebody/photos/a/1.png", "a/1.png"),
        ("file:///home/somebody/a/1.png", "a/1.png"),
        ("file:///D:/photos/%C3%BC%203.png", "ü 3.png"),
        ("https://example.org/a/1.png?token=5", "a/1.png"),
        ("https://[::1/a/1.png", "a/1.png"),
        ("a/../../secret.png", "secret.png"),
        ("../secret.png", "secret.png"),
        ("{0}/secret.png", "secret.png"),
        ("/dev/zero", "zero"),
        ("a", "a"),
        ("..", ""),
        ("/", ""),
    ],
)
def test_places(photos, name, place):
    name = name.format(photos.parent)
    assert places_of([name, "1.png"], photos) == {
        "1.png": str(photos / "1.png"),
        name: str(photos / place),
    }


def test_a_relative_folder(photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    assert places_of(["x/1.png"], "photos") == {"x/1.png": str(photos / "1.png")}
