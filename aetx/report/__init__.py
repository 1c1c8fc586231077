"""The HTML page of a run, and the page over many runs."""

from aetx.report.headline import headline
from aetx.report.run_page import write_report
from aetx.report.summary import write_summary

__all__ = ["headline", "write_report", "write_summary"]
