"""What sockperf says, read."""

import pytest

from nvo3.bench import latency
from nvo3.bench.benchmark import Reading
from nvo3.lab.errors import LabError

REPORT = """\
sockperf[CLIENT] send on:sockperf: using recvfrom() to block on socket(s)

[ 0] IP = 10.0.0.2       PORT = 11111 # TCP
sockperf: Test ended
sockperf: [Total Run] RunTime=1.000 sec; Warm up time=400 msec; SentMessages=44924; ReceivedMessages=44923
sockperf: [Valid Duration] RunTime=0.550 sec; SentMessages=23112; ReceivedMessages=23112
sockperf: ---> <MAX> observation = 8812.416
sockperf: ---> percentile 99.990 = 6614.094
sockperf: ---> percentile 99.900 = 3168.731
sockperf: ---> percentile 99.000 =   49.223
sockperf: ---> percentile 90.000 =   14.291
sockperf: ---> percentile 50.000 =   13.459
"""


def test_parse_takes_percentiles_and_counts_every_round_trip() -> None:
    assert latency.parse(REPORT) == Reading((13.459, 14.291, 49.223), work=44923, duration_s=1.0)


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ("sockperf: ERROR: failed to connect (errno=111 Connection refused)\nmore\n", "errno=111 Connection refused"),
        ("sockperf: No messages were received from the server. Is the server down?\n", "Is the server down"),
        ("", "no result"),
        (REPORT.replace("99.000", "99.001"), "percentile 50.000"),
    ],
)
def test_parse_without_a_result_says_why(report: str, message: str) -> None:
    with pytest.raises(LabError, match=message):
        latency.parse(report)
