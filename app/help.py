"""Help: how it works in one figure, what the words mean, how the figures are measured, and what they can't tell."""

from __future__ import annotations

import streamlit as st

from app import help_figure, links
from core.export import FORMATS
from core.tasks import TASKS

WORDS = {
    "Run": "One network, trained once, with the figures of all its sizes.",
    "Size, units": "How many features each hidden layer keeps. Few units: small, fast, less able. Where layers differ "
    "in width, the widest one gives the number and the others keep their share of it.",
    "Full size": "The whole network, as it was trained. Differences are told against it.",
    "Parameters": "The numbers that a network is made of. A number takes 4 bytes in a file: 1 kB is 1,000 bytes.",
    "Example": "One thing that is put in: a picture, a row of a table, a cloud of points; of a picture that is learned "
    "by heart, a pixel.",
    "Label": "What an example may be, such as the digit 7.",
    "Training, validation, test": "Three parts of the examples. The network learns from the first, sizes are chosen on "
    "the second, and what is shown was measured on the third.",
    "Point": "The difference between two percentages: from 97 % to 95 % is 2 points.",
    "95 % interval": "How far a figure may be off because not all examples that there could be were measured. Of a "
    "hundred such intervals about 95 hold the true figure.",
    "Fits, Just fits": "The size meets what you ask for: clearly, or so closely that chance or a little more size may "
    "undo it.",
    "Too big, Too slow, Out of reach": "No size meets what you ask for; the closest one is shown.",
    "Recommended": "The bend of the curve, after which more size brings ever less.",
    "Smallest that does the job": "The smallest size that the validation examples can't tell from full size.",
    "Mixed up": "One label taken for another.",
    "Time of one prediction": "How long one example takes on the machine that is named beside it.",
}
MEASURED = (
    "**Accuracy and errors** are measured once at every size, on test examples that the network has not learned from. "
    "A picture that is learned by heart is the exception: there the pixels are those that it learned.",
    "**Two sizes** are compared on the same examples, one by one (a paired test). If chance would make such a "
    "difference more often than 1 time in 20, the page says that it can't tell them apart.",
    "**A label's change** has an interval of its own. Among many labels one always changes most, so a change counts as "
    "more than chance only where it would still stand out among so many.",
    "**File sizes and parameters** are counted, so they are exact.",
    "**Times** are the median of many predictions, one example at a time. They don't grow evenly with the size, and "
    "another machine has other times.",
    "**A download** is read again and compared with what was measured before it is handed over.",
)
LIMITS = (
    "How a size does on **your** examples. Figures hold for examples like those of the run; try your own with Try it.",
    "Whether an input makes sense. A network names one of its labels also for a picture of something else, and its "
    "percentages don't warn you.",
    "What the intervals leave out: another training with other chance draws would differ by a little more.",
    "Whether the examples are fair to everybody they will be used on.",
    "How fast a size is on a phone or a server, until it is measured there.",
)


def page() -> None:
    """The whole page, top to bottom."""
    st.title("Help")
    st.markdown(
        "**One training, every size.** A usual network works at one size, so each size wants a training of its own. "
        "Here one training gives a network that works at every size, and you choose afterwards."
    )
    st.subheader("How it works", anchor="how")
    st.components.v2.component("help_figure", html=help_figure.figure())(key="help-figure")  # st.html drops drawings
    st.markdown(
        "While it learns, the network is cut again and again at a random place, as the dashed line shows: it has to do "
        "its best with the features to the left alone. So what matters most gathers on the left, and each further "
        "feature adds a little. A smaller size is the left part, taken as it is: an ordinary network, with no "
        "retraining. The method is called Structural Dropout ([arXiv 2205.06906](https://arxiv.org/abs/2205.06906))."
    )
    links.to("pick", "Pick a size")
    st.subheader("Words", anchor="words")
    st.markdown("\n".join(f"- **{word}**: {meaning}" for word, meaning in _glossary().items()))
    st.subheader("How figures are measured, and how sure they are", anchor="measured")
    st.markdown("\n".join(f"- {line}" for line in MEASURED))
    st.subheader("What this can't tell", anchor="limits")
    st.markdown("\n".join(f"- {line}" for line in LIMITS))


def _glossary() -> dict[str, str]:
    """The words, with what metrics and files say of themselves."""
    metrics = {metric.label: metric.meaning for task in TASKS.values() for metric in task.metrics}
    files = {f.label: f.meaning for f in FORMATS.values()}
    return {**WORDS, **metrics, **files}
