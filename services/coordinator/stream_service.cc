#include <chrono>
#include <future>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "proto/grpc_status.h"
#include "services/coordinator/coordinator_service.h"
#include "services/coordinator/coordinator_translation.h"
#include "services/coordinator/run_files.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxAdapterBytes = size_t{2} << 30;
constexpr size_t kChunkBytes = size_t{1} << 20;
constexpr std::chrono::minutes kAnswerTimeout(2);  // of the store; a longer outage is the caller's to wait for

absl::Status AddChunk(const std::string& chunk, std::string& bytes) {
  if (chunk.size() > kChunkBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("chunk: got ", chunk.size(), " bytes, expected at most ", kChunkBytes));
  }
  if (bytes.size() + chunk.size() > kMaxAdapterBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("adapter: more than ", kMaxAdapterBytes, " bytes, expected at most that many"));
  }
  bytes += chunk;
  return absl::OkStatus();
}

// The bytes of a stream whose first message was read.
absl::StatusOr<std::string> ReadChunks(grpc::ServerReader<v1::PublishAdapterRequest>& reader,
                                       const v1::PublishAdapterRequest& first) {
  std::string bytes;
  EVILMOE_RETURN_IF_ERROR(AddChunk(first.chunk(), bytes));
  v1::PublishAdapterRequest next;
  while (reader.Read(&next)) EVILMOE_RETURN_IF_ERROR(AddChunk(next.chunk(), bytes));
  return bytes;
}

// What call(reply) answers, waited for.
template <typename MakeCall>
absl::Status Await(MakeCall call) {
  const auto promise = std::make_shared<std::promise<absl::Status>>();
  std::future<absl::Status> future = promise->get_future();
  call([promise](absl::Status result) { promise->set_value(std::move(result)); });
  if (future.wait_for(kAnswerTimeout) == std::future_status::ready) return future.get();
  return absl::UnavailableError("the coordinator's store did not answer within two minutes");
}

}  // namespace

template <typename Body>
grpc::Status CoordinatorServiceImpl::ServeStream(grpc::ServerContext* context, const char* method, Body body) {
  const auto start = std::chrono::steady_clock::now();
  const absl::StatusOr<CallPermit> permit = Permit(*context, method);
  if (!permit.ok()) return ToGrpcStatus(permit.status());
  const absl::Status status = body();
  seconds_.find(method)->second->Observe(
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  return ToGrpcStatus(status);
}

grpc::Status CoordinatorServiceImpl::PublishAdapter(grpc::ServerContext* context,
                                                    grpc::ServerReader<v1::PublishAdapterRequest>* reader,
                                                    v1::PublishAdapterResponse*) {
  return ServeStream(context, "PublishAdapter", [&]() -> absl::Status {
    v1::PublishAdapterRequest first;
    if (!reader->Read(&first)) return absl::InvalidArgumentError("stream: empty, expected a fence, a version and bytes");
    EVILMOE_ASSIGN_OR_RETURN(const JobFenceKey fence, FromProto(first.fence()));
    EVILMOE_ASSIGN_OR_RETURN(AdapterName adapter, FromProto(first.version()));
    if (adapter.run_id != fence.run_id) {
      return absl::InvalidArgumentError(
          absl::StrCat("version.run_id: got ", adapter.run_id, ", expected the fence's ", fence.run_id));
    }
    EVILMOE_ASSIGN_OR_RETURN(const std::string bytes, ReadChunks(*reader, first));
    return Await(
        [&](StatusReply reply) { core_.PublishAdapter(fence, std::move(adapter), bytes, std::move(reply)); });
  });
}

grpc::Status CoordinatorServiceImpl::FetchAdapter(grpc::ServerContext* context, const v1::FetchAdapterRequest* request,
                                                  grpc::ServerWriter<v1::FetchAdapterResponse>* writer) {
  return ServeStream(context, "FetchAdapter", [&]() -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(const AdapterName adapter, FromProto(request->version()));
    EVILMOE_ASSIGN_OR_RETURN(const std::filesystem::path path, core_.AdapterFile(adapter));
    v1::FetchAdapterResponse part;
    return ReadFileBeneath(path.parent_path(), path.filename().string(), request->offset(),
                           [&](std::string_view chunk, int64_t) {
                             part.set_chunk(chunk.data(), chunk.size());
                             return writer->Write(part);
                           });
  });
}

grpc::Status CoordinatorServiceImpl::ReadRunFile(grpc::ServerContext* context, const v1::ReadRunFileRequest* request,
                                                 grpc::ServerWriter<v1::ReadRunFileResponse>* writer) {
  return ServeStream(context, "ReadRunFile", [&]() -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(const RunRecord run, core_.PeekRun(request->run_id()));
    v1::ReadRunFileResponse part;
    return ReadFileBeneath(run.directory, request->path(), request->offset(),
                           [&](std::string_view chunk, int64_t size_bytes) {
                             part.set_chunk(chunk.data(), chunk.size());
                             part.set_size_bytes(size_bytes);
                             const bool written = writer->Write(part);
                             part.clear_size_bytes();
                             return written;
                           });
  });
}

grpc::Status CoordinatorServiceImpl::ListRunFiles(grpc::ServerContext* context, const v1::ListRunFilesRequest* request,
                                                  v1::ListRunFilesResponse* response) {
  return ServeStream(context, "ListRunFiles", [&]() -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(const RunRecord run, core_.PeekRun(request->run_id()));
    EVILMOE_ASSIGN_OR_RETURN(const std::vector<FileBeneath> files,
                             ListFilesBeneath(run.directory, request->folder()));
    for (const FileBeneath& file : files) {
      v1::RunFile& entry = *response->add_files();
      entry.set_path(file.path);
      entry.set_size_bytes(file.size_bytes);
      entry.set_modified_unix_ns(file.modified_unix_ns);
    }
    return absl::OkStatus();
  });
}

}  // namespace evilmoe
