import os
from pathlib import Path

import pytest

from nvo3.prepare import patch
from nvo3.prepare.errors import PrepareError, ToolFailed
from tests.unit.prepare.support import CHECKOUT, Display, write_tree

_LOCK = 0  # any open descriptor serves
_ONE = """one: Change a line.

--- a/lib/a.c
+++ b/lib/a.c
@@ -1,3 +1,3 @@
 one
-two
+2
 three
"""
_TWO = _ONE.replace("-two\n+2\n", "-2\n+zwei\n")
_NEW_MAKEFILE = "--- /dev/null\n+++ b/lib/automake.mk\n@@ -0,0 +1 @@\n+new\n"


@pytest.fixture
def patches(tmp_path: Path) -> Path:
    """A directory like ovs_datapath_patch/ with two patches, of which the second needs the first."""
    directory = tmp_path / "patches"
    directory.mkdir()
    (directory / "0001-one.patch").write_text(_ONE)
    (directory / "0002-two.patch").write_text(_TWO)
    (directory / "series").write_text("# comment\n\n0001-one.patch  # why\n0002-two.patch\n")
    return directory


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "tree")


def test_series_of_the_repository_names_existing_patches() -> None:
    assert all(path.is_file() for path in patch.series(CHECKOUT / "ovs_datapath_patch"))


def test_series_keeps_the_order_and_ignores_comments(patches: Path) -> None:
    assert [path.name for path in patch.series(patches)] == ["0001-one.patch", "0002-two.patch"]


def test_series_may_be_missing(tmp_path: Path) -> None:
    assert patch.series(tmp_path) == [] and list(patch.contents(tmp_path)) == []


@pytest.mark.parametrize("name", ["missing.patch", "../series", "/etc/passwd"])
def test_series_with_a_wrong_line_names_it(patches: Path, name: str) -> None:
    (patches / "series").write_text(f"0001-one.patch\n{name}\n")
    with pytest.raises(PrepareError, match=rf"series:2: no file '{name}' stands beside it"):
        patch.series(patches)


def test_apply_in_order(patches: Path, tree: Path, progress: Display) -> None:
    assert patch.apply(tree, progress, _LOCK, patches) is False
    assert (tree / "lib" / "a.c").read_text() == "one\nzwei\nthree\n"
    assert not list(tree.rglob("*.orig")) and not list(tree.rglob("*.rej"))


def test_apply_of_a_patch_that_does_not_fit_names_it(patches: Path, tree: Path, progress: Display) -> None:
    (patches / "series").write_text("0002-two.patch\n")
    with pytest.raises(ToolFailed) as caught:
        patch.apply(tree, progress, _LOCK, patches)
    expected = "ovs_datapath_patch/0002-two.patch does not apply to Open vSwitch (last file: lib/a.c): refresh the patch"
    assert str(caught.value) == expected
    assert any("FAILED" in line for line in caught.value.tail)


def test_apply_of_a_patch_twice_is_an_error(patches: Path, tree: Path, progress: Display) -> None:
    (patches / "series").write_text("0001-one.patch\n0001-one.patch\n")
    with pytest.raises(ToolFailed, match=r"0001-one\.patch does not apply"):
        patch.apply(tree, progress, _LOCK, patches)


def test_files_are_laid_over_the_tree_before_the_patches(patches: Path, tree: Path, progress: Display) -> None:
    (patches / "files" / "lib" / "new").mkdir(parents=True)
    (patches / "files" / "lib" / "a.c").write_text("one\ntwo\nthree\nfour\n")
    native = patches.parent / "native.c"
    native.write_text("shared\n")
    (patches / "files" / "lib" / "new" / "shared.c").symlink_to(os.path.relpath(native, patches / "files" / "lib" / "new"))
    patch.apply(tree, progress, _LOCK, patches)
    assert (tree / "lib" / "a.c").read_text() == "one\nzwei\nthree\nfour\n"
    shared = tree / "lib" / "new" / "shared.c"
    assert shared.read_text() == "shared\n" and not shared.is_symlink()


def test_configure_is_made_anew_after_a_change_to_automake(patches: Path, tree: Path, progress: Display) -> None:
    (patches / "0003.patch").write_text(_NEW_MAKEFILE)
    (patches / "series").write_text("0003.patch\n")
    assert patch.apply(tree, progress, _LOCK, patches) is True


def test_contents_change_with_all_that_changes_the_build(patches: Path) -> None:
    file = patches / "files" / "utilities" / "tool"
    native = patches.parent / "native.c"
    native.write_text("shared\n")
    file.parent.mkdir(parents=True)
    file.write_text("tool\n")
    (patches / "files" / "native.c").symlink_to(native)
    seen = [list(patch.contents(patches))]
    file.chmod(0o755)
    seen.append(list(patch.contents(patches)))
    native.write_text("shared, changed\n")
    seen.append(list(patch.contents(patches)))
    (patches / "series").write_text("0002-two.patch\n0001-one.patch\n")
    seen.append(list(patch.contents(patches)))
    assert all(seen.count(contents) == 1 for contents in seen)
    (patches / "README.md").write_text("about\n")
    assert list(patch.contents(patches)) == seen[-1]
