"""What is known of hardware, languages and problems: pages to read, a diagnosis of kernels, lessons of runs."""

from __future__ import annotations

__all__ = [
    "MOST_LESSONS",
    "Bottleneck",
    "Check",
    "Diagnosis",
    "Example",
    "Found",
    "Kind",
    "Library",
    "Match",
    "Page",
    "PageError",
    "Phase",
    "best_elsewhere",
    "diagnose",
    "distil",
    "examples_of",
    "hardware_names",
    "parse_page",
    "relevant",
    "render_lesson",
    "retrieve",
]

from kernelevolve.knowledge.bottleneck import Bottleneck
from kernelevolve.knowledge.diagnosis import diagnose
from kernelevolve.knowledge.examples import Check, Example, examples_of
from kernelevolve.knowledge.finding import Diagnosis
from kernelevolve.knowledge.hardware import hardware_names
from kernelevolve.knowledge.lessons import MOST_LESSONS, distil
from kernelevolve.knowledge.library import Library, Match
from kernelevolve.knowledge.page import Kind, Page, PageError, Phase, parse_page
from kernelevolve.knowledge.recall import relevant, render_lesson
from kernelevolve.knowledge.retrieval import retrieve
from kernelevolve.knowledge.transfer import Found, best_elsewhere
