#pragma once

#include <c10/core/Allocator.h>
#include <c10/util/Exception.h>

#include <exception>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace evilmoe {

// The library's edge: runs `f` (which must return a value) and turns what LibTorch throws into a Status.
// ResourceExhausted: out of memory. Internal: anything else, without the C++ stack that c10 adds.
template <typename F>
absl::StatusOr<std::invoke_result_t<F>> TorchGuard(const char* what, F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (const c10::OutOfMemoryError& e) {
    return absl::ResourceExhaustedError(absl::StrCat(what, ": ", e.what_without_backtrace()));
  } catch (const c10::Error& e) {
    return absl::InternalError(absl::StrCat(what, ": ", e.what_without_backtrace()));
  } catch (const std::exception& e) {
    return absl::InternalError(absl::StrCat(what, ": ", e.what()));
  }
}

}  // namespace evilmoe
