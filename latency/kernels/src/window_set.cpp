#include <stdexcept>
#include <string>

#include "window_kernel.h"

namespace edgewright {

extern const WindowSet kPortableWindow;
#if defined(EDGEWRIGHT_X86)
extern const WindowSet kAvx2Window;
extern const WindowSet kAvx512Window;
#endif

const WindowSet& window_set(const char* name) {
  const WindowSet* const sets[] = {
      &kPortableWindow,
#if defined(EDGEWRIGHT_X86)
      &kAvx2Window,
      &kAvx512Window,
#endif
  };
  for (const WindowSet* set : sets) {
    if (std::string(name) == set->name) return *set;
  }
  throw std::logic_error(std::string("no window kernels for ") + name);
}

}  // namespace edgewright
