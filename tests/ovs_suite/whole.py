"""Open vSwitch's whole test suite on the patched build, for `nvo3 test --ovs-suite`: too long to be among the others.

What fails there each time and never on a build without patches fails this test.  So a test that this machine cannot pass
needs no mention here.
"""

from pathlib import Path

import pytest

from nvo3.prepare import Progress, ensure_ovs, ovs
from tests.ovs_suite.suite import Suite, summary

pytestmark = pytest.mark.netns


def test_nothing_fails_that_passes_without_our_patches(patched: Suite, tmp_path: Path, progress: Progress) -> None:
    results, failed = patched.run_patiently("Open vSwitch's tests, patched")
    print(f"Patched: {summary(results)}")
    for result in results:
        if result.skipped or result.failed:
            print(f"  {result.name}: {result.outcome}")
    if not failed:
        return
    ensure_ovs(progress, stock=True, keep_tree=True)
    tree = ovs.find_tree(stock=True)
    assert tree
    theirs = Suite(tree, tmp_path / "stock", progress).fail_at_times([result.name for result in failed])
    for name in sorted(theirs):
        print(f"Fails without our patches, too: {name}")
    ours = [result for result in failed if result.name not in theirs]
    if ours:
        pytest.fail("\n\n".join(result.report() for result in ours), pytrace=False)
