// A pool of worker threads that a plan owns: bands of rows, no allocation after its construction.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace edgeseg {

// Runs body(band, bands) once for every band; band 0 runs in the caller's thread. One run at a time.
class Bands {
 public:
  explicit Bands(int count) {
    try {
      workers_.reserve(count > 0 ? static_cast<std::size_t>(count) : 0);
      for (int band = 1; band < count; ++band) workers_.emplace_back([this, band] { work(band); });
    } catch (...) {  // the system gives no more threads: end those that have begun, for a joinable thread is fatal
      end();
      throw;
    }
  }

  Bands(const Bands&) = delete;
  Bands& operator=(const Bands&) = delete;

  ~Bands() { end(); }

  int count() const { return static_cast<int>(workers_.size()) + 1; }

  template <typename Body>
  void run(Body& body) {
    if (workers_.empty()) {
      body(0, 1);
      return;
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      call_ = [](void* target, int band, int bands) { (*static_cast<Body*>(target))(band, bands); };
      target_ = &body;
      left_ = static_cast<int>(workers_.size());
      ++turn_;
    }
    wake_.notify_all();
    body(0, count());
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return left_ == 0; });
  }

 private:
  void end() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      is_ending_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  void work(int band) {
    std::uint64_t seen = 0;
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return is_ending_ || turn_ != seen; });
      if (is_ending_) return;
      seen = turn_;
      lock.unlock();
      call_(target_, band, count());
      lock.lock();
      if (--left_ == 0) done_.notify_one();
    }
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  void (*call_)(void*, int, int) = nullptr;
  void* target_ = nullptr;
  int left_ = 0;
  std::uint64_t turn_ = 0;
  bool is_ending_ = false;
};

}  // namespace edgeseg
