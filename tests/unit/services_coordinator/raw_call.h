#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "proto/grpc_status.h"

namespace evilmoe {

struct RawAnswer {
  absl::Status status;
  int num_messages = 0;
};

// One message of any bytes to a method of any name ("/evilmoe.v1.CoordinatorService/GetRun"), whatever it streams; ends
// after 20 s at the latest.
inline RawAnswer RawCall(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                         const std::string& bytes) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  grpc::CompletionQueue queue;
  RawAnswer answer;
  void* tag = nullptr;
  bool ok = false;
  const auto call = stub.PrepareCall(&context, method, &queue);
  call->StartCall(nullptr);
  if (queue.Next(&tag, &ok) && ok) {
    const grpc::Slice slice(bytes);
    call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
    queue.Next(&tag, &ok);
    while (true) {
      grpc::ByteBuffer message;
      call->Read(&message, nullptr);
      if (!queue.Next(&tag, &ok) || !ok) break;
      ++answer.num_messages;
    }
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  queue.Next(&tag, &ok);
  answer.status = FromGrpcStatus(status);
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  return answer;
}

inline std::string MethodPath(const std::string& name) { return "/evilmoe.v1.CoordinatorService/" + name; }

}  // namespace evilmoe
