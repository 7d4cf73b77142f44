"""The client of the guide works as it stands there."""

import re
from pathlib import Path

from colour_search import RED, colour_service, file_of, running_service, scene

GUIDE = Path(__file__).parents[3] / "docs" / "serve.md"


def test_the_client_of_the_guide_finds_the_thing(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.split("\n\n", 2)[2].splitlines()) <= 10
    cup = scene((RED, (40, 60, 210, 190)), size=(240, 320))
    (tmp_path / "cup.jpg").write_bytes(file_of(cup))
    (tmp_path / "kitchen.jpg").write_bytes(file_of(scene((RED, (20, 30, 60, 90)))))
    monkeypatch.chdir(tmp_path)
    with running_service(colour_service(tmp_path)) as address:
        exec(code.replace("http://127.0.0.1:8765", address), {})
    (line,) = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"0\.9\d+ \[\d+, \d+, \d+, \d+\] 2\d{3} pixels|1\.0 .*", line)


def test_the_pictures_of_the_guide_are_there_and_small():
    named = re.findall(r"!\[.*?\]\((.*?)\)", GUIDE.read_text(encoding="utf-8"))
    assert sorted(named) == sorted(
        str(path.relative_to(GUIDE.parent)) for path in GUIDE.parent.glob("serve/*.png")
    )
    assert sum((GUIDE.parent / name).stat().st_size for name in named) < 1_200_000
