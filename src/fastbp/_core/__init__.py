"""The compiled engine: typed Cython loops over a C buffer layout. See ARCHITECTURE.md."""

from fastbp._core.training import Engine, available_isas, build_info, choose_isa

__all__ = ["Engine", "available_isas", "build_info", "choose_isa"]
