"""What pip installs: every room and every recipe, with all that lies in them."""

import subprocess
import sys
import zipfile


def test_a_wheel_holds_every_file_of_the_rooms_and_recipes(checkout, tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(checkout)], check=True)
    [wheel] = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        str(path.relative_to(checkout))
        for room in ("local", "recipes")
        for path in (checkout / room).rglob("*")
        if path.is_file()
    }
    assert packed == expected
