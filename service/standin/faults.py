"""Which of the script's faults is due? Counts what happens at each stage."""

from collections import Counter
from collections.abc import Iterable

from service.standin.script import Fault, Stage


class Faults:
    """The faults of one stand-in; more may be added while it runs."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.due = list(faults)
        self._counts: Counter[Stage] = Counter()

    def next(self, at: Stage) -> Fault | None:
        """Something begins at this stage: the fault it meets, if any."""
        self._counts[at] += 1
        number = self._counts[at]
        for fault in self.due:
            if fault.at == at and fault.number in (0, number):
                return fault
        return None

    def add(self, fault: Fault) -> None:
        """From now on; its number counts from the next one on."""
        number = fault.number and fault.number + self._counts[fault.at]
        self.due.append(fault.model_copy(update={"number": number}))
