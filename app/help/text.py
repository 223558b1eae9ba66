"""Texts of Help: the words of the pages, what can be done where, how figures are measured. No Streamlit here."""

from __future__ import annotations

WORDS = {
    "Run": "One network, trained once, with the figures of all its sizes.",
    "Size, units": "How many features each hidden layer keeps. Few units: small, fast, less able. Where layers differ "
    "in width, the widest one gives the number and the others keep their share of it.",
    "Full size": "The whole network, as it was trained. Differences are told against it.",
    "Parameters": "All numbers in the model's file: weights, biases, and the constants by which it scales its inputs. "
    "A number takes 4 bytes in a file: 1 kB is 1,000 bytes.",
    "Example": "One thing that is put in: a picture, a row of a table, a cloud of points; of a picture that is learned "
    "by heart, a pixel.",
    "Label": "What an example may be, such as the digit 7.",
    "Training, validation, test": "Three parts of the examples. The network learns from the first, sizes are chosen on "
    "the second, and what is shown was measured on the third.",
    "Point": "The difference between two percentages: from 97 % to 95 % is 2 points.",
    "95 % interval": "How far a figure may be off because not all examples that there could be were measured. Of a "
    "hundred such intervals about 95 hold the true figure.",
    "Can't tell, No clear difference": "One figure is a little better than the other, but on so few examples chance "
    "alone often makes such a difference. It does not mean that both are equal: on more examples one might win. Until "
    "then, take the smaller or the cheaper one.",
    "Fits, Just fits": "The size meets what you ask for: clearly, or so closely that chance or a little more size may "
    "undo it.",
    "Too big, Too slow, Out of reach": "No size meets what you ask for; the closest one is shown.",
    "Recommended": "The bend of the curve, after which more size brings ever less.",
    "Smallest that does the job": "The smallest size that the validation examples can't tell from full size.",
    "Best for its size": "No smaller size is as good. The line on the chart goes through these sizes.",
    "Trained on by itself": "A size that got a short training of its own after the one that all sizes share. It is "
    "often a little better for that, and always a model of its own: the other sizes stay as they were.",
    "Mixed up": "One label taken for another.",
    "Time of one prediction": "How long one example takes on the machine that is named beside it.",
    "Recipe": "How the training went: how often the network was cut, and where, how fast it learned, and how long.",
    "Multiply-accumulates": "How many multiplications, each with an addition, one example takes (MACs). Fewer is "
    "usually faster, but not evenly.",
    "Loss": "What the training made smaller and smaller. Less is better, but it has no unit that means anything by "
    "itself.",
    "Archive": "Where removed runs wait. Nothing in it is lost until the archive is emptied.",
    "Title, tags, note": "Words of your own about a run. Search looks into them; they change nothing in the run.",
}
CAN_DO = {  # page -> what can be done there
    "pick": (
        "**Ask** for a largest file, a least accuracy, how much may be lost, or a longest time. The answer is one "
        "size, with its price and what the next steps up and down would bring.",
        "**Choose by hand**: with the slider (arrow keys work too), with a tap on the chart, or one of three sizes.",
        "**See what changes** against full size: label by label, what is mixed up more often, and single examples.",
        "**Try it** with an example of your own: drawn, uploaded, typed, or one of the test examples.",
        "**Download** it as a file. Where the picked size was also trained on by itself, the chart marks it with "
        "a shape of its own, and you choose which of the two you take.",
        "**Send a link**: the address always says what is on the screen, and opens the same again.",
    ),
    "compare": (
        "**Two to four runs** in one chart, at the same file size, at the same figure, or at the same number of units: "
        "which one is better, and whether the data can tell.",
        "**Label by label, and example by example**: where they differ most, and how often they agree.",
        "**Best run at any size**: the best of all runs within a file size.",
        "**Export**: the report is one page that opens in any browser, also without a network, with "
        "its charts and tables; the CSV file has a row for each run and size, for a spreadsheet.",
    ),
    "runs": (
        "**Find** a run by its name, data, model, title, tags or note, and put the table into another order.",
        "**Write** a title, tags and a note; **rename** a run.",
        "**Download the whole run**: one zip with all sizes and figures, to keep or to hand on. Somebody else adds it "
        "with **Add a run from a file or a folder**: it is checked and shown before it joins their runs.",
        "**Remove** a run. It goes into the archive, from where you **bring it back**, under another name if its own "
        "is taken. Only emptying the archive deletes for good.",
    ),
}
TRAIN_ON = (
    "Training one size on by itself needs the data, so it is done at a command line, by whoever made the run. This "
    "goes over the data three more times for 16 units:"
)
TRAIN_ON_COMMAND = ("polish", "runs/digits", "--width", "16", "--epochs", "3")
MEASURED = (
    "**Accuracy and errors** are measured once at every size, on test examples that the network has not learned from. "
    "A picture that is learned by heart is the exception: there the pixels are those that it learned.",
    "**Two sizes** are compared on the same examples, one by one (a paired test). If chance would make such a "
    "difference more often than 1 time in 20, the page says that it can't tell them apart.",
    "**Two runs** are compared in the same way where they were tested on the same examples. Where they were not, only "
    "intervals that don't overlap count as a difference.",
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
