// Which vector instructions this processor has and this operating system keeps, on x86-64.
#pragma once

namespace edgewright {

struct Processor {
  bool avx2 = false;  // with FMA
  bool avx512 = false;  // the foundation
};

Processor this_processor();

}  // namespace edgewright
