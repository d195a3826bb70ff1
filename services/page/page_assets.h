#pragma once

#include "services/page/page_message.h"

namespace evilmoe {

// The page's own files: "/" is services/web/index.html, "/assets/PATH" another file of that folder. A browser keeps them
// and asks each time whether they are still the same (ETag). NotFound.
absl::StatusOr<PageReply> AnswerAsset(const PageRequest& request);

}  // namespace evilmoe
