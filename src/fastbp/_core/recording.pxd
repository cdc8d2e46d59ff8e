from fastbp._core.epochs cimport Training
from fastbp._core.watch cimport Watching

cdef class Recorder:
    cdef object job
    cdef object record
    cdef object plan
    cdef dict every                # epochs from one value of each curve to the next
    cdef object curves             # of training, validation and learning rate, epochs across
    cdef int n_curves              # of a set of data
    cdef int own_losses            # of them: losses of the outputs, if there are several
    cdef dict places               # there: of the losses, and metrics that are means over rows
    cdef object outputs            # of each output
    cdef object output_bytes       # from those of one epoch to the next
    cdef object pointers           # to those of the running epoch
    cdef list validation_outputs
    cdef object validation_pointers
    cdef tuple measured            # the other metrics
    cdef dict measures             # curves of these
    cdef tuple widths              # elements of a row of each output
    cdef dict parts                # outputs and targets of the chunks of an epoch
    cdef size_t epochs             # seen by `look`
    cdef bint fails                # a metric has raised
    cdef Watching watching         # or None
    cdef int start(self, Training *t) except -1
    cdef int rate_curve(self, const Training *t) except -1
    cdef int point(self, Training *t) except -1
    cdef int expect(self, Training *t, str prefix, object rows) except -1
    cdef list new_outputs(self, size_t epochs, size_t n)
    cdef list parts_of(self, str prefix, object rows, list outputs, size_t at)
    cdef int measure_epoch(self, const Training *t) except -1
    cdef int look(self, Training *t) except -1
    cdef int finish(self, Training *t) except -1
    cdef int visit(self, Training *t, bint tells) except -1
    cdef dict running(self, const Training *t)
    cdef dict latest(self, const Training *t)
    cdef object curve(self, str name)
    cdef object progress(self, const Training *t)
