from mrcnn.training.fit import run_schedule
from siamese_mrcnn.training.schedules import SCHEDULES


class Recorder:
    """Stands in for a model: notes the phases that it is to train."""

    def __init__(self, epoch):
        self.epoch, self.phases = epoch, []

    def train(self, train_dataset, val_dataset, learning_rate, epochs, layers, workers):
        assert (train_dataset, val_dataset, workers) == ("training", "validation", 3)
        self.phases.append((self.epoch, epochs, layers, learning_rate))
        self.epoch = max(self.epoch, epochs)


def trained(schedule, epoch):
    model = Recorder(epoch)
    run_schedule(model, SCHEDULES[schedule], "training", "validation", workers=3)
    return model.phases


def test_the_papers_schedules():
    assert trained("splits", 0) == [
        (0, 1, "heads", 0.02),
        (1, 120, "all", 0.02),
        (120, 160, "all", 0.002),
    ]
    assert [phase[1] for phase in trained("all-classes", 0)] == [1, 240, 320]


def test_a_resumed_schedule_passes_over_what_is_done():
    assert trained("splits", 119) == [(119, 120, "all", 0.02), (120, 160, "all", 0.002)]
    assert trained("splits", 120) == [(120, 160, "all", 0.002)]


def test_a_finished_schedule_lets_the_model_say_so():
    assert trained("splits", 160) == [(160, 160, "all", 0.002)]
