"""The command line of the agent; what it does is tests/netns/test_agent.py's."""

import pytest

from nvo3.agent.command import main, tap_name


@pytest.mark.parametrize(("vnic", "tap"), [("eth0", "eth0-cvsw"), ("enp0s31f6", "enp0s31f6-cvsw"), ("fifteen-letters", "fifteen-le-cvsw")])
def test_tap_name(vnic: str, tap: str) -> None:
    assert tap_name(vnic) == tap and len(tap) <= 15


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "say which device by --vnic"),
        (["--vnic", "eth0", "--max-entries", "0"], "0 is not in 1..16777215"),
        (["--vnic", "eth0", "--max-entries", "many"], "invalid"),
        (["--vnic", "eth0", "sow"], "invalid choice"),
        (["show", "--output", "yaml"], "invalid choice"),
    ],
)
def test_wrong_usage(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_show_without_an_agent(tmp_path: object) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["show", "--run-dir", str(tmp_path)])
    assert caught.value.code == f"nvo3-agent: there is no agent in {tmp_path}: say which by --vnic, or give another --run-dir"
