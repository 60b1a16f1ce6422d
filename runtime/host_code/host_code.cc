#include "placewright/runtime/host_code/host_code.h"

#include <array>
#include <cstring>
#include <elf.h>
#include <limits>
#include <unistd.h>
#include <vector>

#include <fmt/core.h>
#include <sys/mman.h>

#include "placewright/base/checked.h"
#include "placewright/base/error.h"

namespace placewright {

namespace {
constexpr size_t stub_bytes = 16;
constexpr uint64_t largest_image = uint64_t{1} << 30;   // also keeps every distance inside it within 32 bits
constexpr uint32_t gotpcrelx = 41, rex_gotpcrelx = 42;  // absent from older elf.h
}  // namespace

// Loads one object: checks and copies its sections into three segments (code, constants, data), then relocates.
class ObjectLoader {
 public:
  ObjectLoader(std::span<const uint8_t> object, const std::string& name) : object_(object), name_(name) {}

  std::shared_ptr<const HostCode> load() {
    read_header();
    read_sections();
    read_symbols();
    count_relocations();
    lay_out();
    map();
    copy_sections();
    for (const Elf64_Shdr& section : sections_)
      if (section.sh_type == SHT_RELA) relocate(section);
    protect();
    export_symbols();
    return std::move(code_);
  }

 private:
  enum Segment { text, constants, data, segments };
  struct Place {
    Segment segment = segments;  // segments: not loaded
    uint64_t offset = 0;         // in the mapping
  };

  [[noreturn]] void refuse(const std::string& why) const {
    throw Error(fmt::format("kernel image {} cannot be loaded: {}", name_, why));
  }
  void require(bool holds, const char* why) const {
    if (!holds) refuse(why);
  }

  // `count` records of type T at `offset` of the object, copied because they may be misaligned there.
  template <typename T>
  std::vector<T> read(uint64_t offset, uint64_t count, const char* what) const {
    if (offset > object_.size() || count > (object_.size() - offset) / sizeof(T))
      refuse(fmt::format("{} reach beyond its {} bytes: truncated?", what, object_.size()));
    std::vector<T> records(count);
    if (count) std::memcpy(records.data(), object_.data() + offset, count * sizeof(T));
    return records;
  }

  void read_header() {
    header_ = read<Elf64_Ehdr>(0, 1, "its header").front();
    require(std::memcmp(header_.e_ident, ELFMAG, SELFMAG) == 0, "it is no ELF object");
    require(header_.e_ident[EI_CLASS] == ELFCLASS64 && header_.e_ident[EI_DATA] == ELFDATA2LSB &&
                header_.e_machine == EM_X86_64,
            "it is not for little-endian x86-64");
    require(header_.e_type == ET_REL, "it is not relocatable");
    require(header_.e_shentsize == sizeof(Elf64_Shdr) && header_.e_shnum > 0, "its section table is not as expected");
  }

  void read_sections() {
    sections_ = read<Elf64_Shdr>(header_.e_shoff, header_.e_shnum, "its section headers");
    places_.resize(sections_.size());
    for (size_t i = 0; i < sections_.size(); ++i) {
      const Elf64_Shdr& section = sections_[i];
      if (section.sh_type != SHT_NOBITS && section.sh_type != SHT_NULL &&
          (section.sh_offset > object_.size() || section.sh_size > object_.size() - section.sh_offset))
        refuse(fmt::format("section {} reaches beyond its {} bytes: truncated?", i, object_.size()));
      require(section.sh_type != SHT_REL, "it has relocations without addends");
      if (!(section.sh_flags & SHF_ALLOC) || section.sh_type == SHT_NOTE) continue;
      require(section.sh_type == SHT_PROGBITS || section.sh_type == SHT_NOBITS || section.sh_type == SHT_X86_64_UNWIND,
              "it has constructors or another kind of section that kernels never need");
      require(!(section.sh_flags & SHF_TLS), "it has thread-local data");
      bool writable = section.sh_flags & SHF_WRITE, executable = section.sh_flags & SHF_EXECINSTR;
      require(!(writable && executable), "it has a section that is writable and executable");
      uint64_t alignment = section.sh_addralign;
      require(alignment <= 4096 && (alignment & (alignment - 1)) == 0,
              "a section's alignment is no power of two up to 4096");
      places_[i].segment = executable ? text : writable ? data : constants;
    }
  }

  void read_symbols() {
    for (const Elf64_Shdr& section : sections_) {
      if (section.sh_type != SHT_SYMTAB) continue;
      require(symbols_.empty(), "it has two symbol tables");
      require(section.sh_entsize == sizeof(Elf64_Sym), "its symbol table is not as expected");
      symbols_ = read<Elf64_Sym>(section.sh_offset, section.sh_size / sizeof(Elf64_Sym), "its symbols");
      require(section.sh_link < sections_.size() && sections_[section.sh_link].sh_type == SHT_STRTAB,
              "its symbols have no names");
      const Elf64_Shdr& strings = sections_[section.sh_link];
      strings_ = {reinterpret_cast<const char*>(object_.data() + strings.sh_offset), strings.sh_size};
    }
    commons_.resize(symbols_.size());
    stubs_.assign(symbols_.size(), none);
    got_.assign(symbols_.size(), none);
  }

  std::string_view symbol_name(const Elf64_Sym& symbol) const {
    require(symbol.st_name < strings_.size(), "a symbol's name lies outside its table");
    std::string_view rest = strings_.substr(symbol.st_name);
    size_t end = rest.find('\0');
    require(end != std::string_view::npos, "a symbol's name has no end");
    return rest.substr(0, end);
  }

  static bool wants_got(uint32_t type) {
    return type == R_X86_64_GOTPCREL || type == gotpcrelx || type == rex_gotpcrelx;
  }

  std::vector<Elf64_Rela> relocations(const Elf64_Shdr& section) const {
    require(section.sh_entsize == sizeof(Elf64_Rela), "its relocations are not as expected");
    require(section.sh_info < sections_.size(), "its relocations are for a section that does not exist");
    // Those of sections that are not loaded (debug information) do not matter.
    if (places_[section.sh_info].segment == segments) return {};
    return read<Elf64_Rela>(section.sh_offset, section.sh_size / sizeof(Elf64_Rela), "its relocations");
  }

  // One stub for each function that is imported by a near call, one slot for each symbol that is reached by its
  // address.
  void count_relocations() {
    for (const Elf64_Shdr& section : sections_) {
      if (section.sh_type != SHT_RELA) continue;
      for (const Elf64_Rela& relocation : relocations(section)) {
        uint64_t index = ELF64_R_SYM(relocation.r_info);
        uint32_t type = ELF64_R_TYPE(relocation.r_info);
        require(index < symbols_.size(), "a relocation names a symbol that does not exist");
        if (wants_got(type) && got_[index] == none) got_[index] = got_count_++;
        bool near = type == R_X86_64_PC32 || type == R_X86_64_PLT32;
        if (near && symbols_[index].st_shndx == SHN_UNDEF && stubs_[index] == none) stubs_[index] = stub_count_++;
      }
    }
  }

  void lay_out() {
    uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    uint64_t at = 0;
    auto take = [&](uint64_t bytes, uint64_t alignment) {
      at = (at + std::max<uint64_t>(alignment, 1) - 1) & ~(std::max<uint64_t>(alignment, 1) - 1);
      uint64_t begin = at;
      if (bytes > largest_image || at + bytes > largest_image) refuse("it wants more than 1 GiB of memory");
      at += bytes;
      return begin;
    };
    for (Segment segment : {text, constants, data}) {
      segment_begin_[segment] = take(0, page);
      for (size_t i = 0; i < sections_.size(); ++i)
        if (places_[i].segment == segment) places_[i].offset = take(sections_[i].sh_size, sections_[i].sh_addralign);
      if (segment == text) stubs_begin_ = take(stub_count_ * stub_bytes, stub_bytes);
      if (segment == constants) got_begin_ = take(got_count_ * 8, 8);
      if (segment == data) lay_out_commons(take);
    }
    size_ = take(0, page);
    segment_begin_[segments] = size_;
  }

  template <typename Take>
  void lay_out_commons(Take& take) {
    for (size_t i = 0; i < symbols_.size(); ++i) {
      if (symbols_[i].st_shndx != SHN_COMMON) continue;
      uint64_t alignment = symbols_[i].st_value;  // of a common symbol
      require(alignment <= 4096 && (alignment & (alignment - 1)) == 0, "a common symbol's alignment is out of range");
      commons_[i] = take(symbols_[i].st_size, alignment);
    }
  }

  void map() {
    require(size_ > 0, "it holds no code");
    code_.reset(new HostCode);
    void* base = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) refuse(fmt::format("no {} bytes of memory: {}", size_, std::strerror(errno)));
    code_->base_ = base;
    code_->size_ = size_;
    base_ = static_cast<uint8_t*>(base);
  }

  void copy_sections() {
    for (size_t i = 0; i < sections_.size(); ++i)
      if (places_[i].segment != segments && sections_[i].sh_type != SHT_NOBITS && sections_[i].sh_size > 0)
        std::memcpy(base_ + places_[i].offset, object_.data() + sections_[i].sh_offset, sections_[i].sh_size);
    for (size_t i = 0; i < symbols_.size(); ++i) {
      if (stubs_[i] != none) write_stub(i);
      if (got_[i] != none) {
        uint64_t address = address_of(i);
        std::memcpy(base_ + got_begin_ + got_[i] * 8, &address, 8);
      }
    }
  }

  // jmp *[rip + 2]; ud2; the address: reaches any distance, which a near call cannot.
  void write_stub(size_t symbol) {
    std::array<uint8_t, stub_bytes> stub{0xff, 0x25, 0x02, 0, 0, 0, 0x0f, 0x0b};
    uint64_t address = address_of(symbol);
    std::memcpy(stub.data() + 8, &address, 8);
    std::memcpy(base_ + stubs_begin_ + stubs_[symbol] * stub_bytes, stub.data(), stub_bytes);
  }

  uint64_t address_of(size_t index) const {
    const Elf64_Sym& symbol = symbols_[index];
    if (symbol.st_shndx == SHN_UNDEF) {
      std::string_view import = symbol_name(symbol);
      void* address = HostCode::try_import(import);
      if (!address) refuse(fmt::format("it imports '{}', which is not in the table of imports", import));
      return reinterpret_cast<uint64_t>(address);
    }
    if (symbol.st_shndx == SHN_COMMON) return reinterpret_cast<uint64_t>(base_) + commons_[index];
    require(symbol.st_shndx < sections_.size() && places_[symbol.st_shndx].segment != segments,
            "a symbol lies in no loaded section");
    require(symbol.st_value <= sections_[symbol.st_shndx].sh_size, "a symbol lies outside its section");
    return reinterpret_cast<uint64_t>(base_) + places_[symbol.st_shndx].offset + symbol.st_value;
  }

  void relocate(const Elf64_Shdr& section) {
    for (const Elf64_Rela& relocation : relocations(section)) {
      uint32_t type = ELF64_R_TYPE(relocation.r_info);
      uint64_t symbol = ELF64_R_SYM(relocation.r_info);
      uint64_t width = type == R_X86_64_64 || type == R_X86_64_PC64 ? 8 : 4;
      const Elf64_Shdr& target = sections_[section.sh_info];
      require(target.sh_type != SHT_NOBITS && target.sh_size >= width && relocation.r_offset <= target.sh_size - width,
              "a relocation lies outside its section");
      uint8_t* place = base_ + places_[section.sh_info].offset + relocation.r_offset;
      // Unsigned arithmetic wraps, as the addresses of a hostile object may; the range check below judges the outcome.
      uint64_t addend = static_cast<uint64_t>(relocation.r_addend);
      uint64_t here = reinterpret_cast<uint64_t>(place);
      uint64_t value = 0;
      if (type == R_X86_64_64)
        value = address_of(symbol) + addend;
      else if (type == R_X86_64_PC64)
        value = address_of(symbol) + addend - here;
      else if (type == R_X86_64_PC32 || type == R_X86_64_PLT32)
        value = near_address(symbol) + addend - here;
      else if (wants_got(type))
        value = reinterpret_cast<uint64_t>(base_) + got_begin_ + got_[symbol] * 8 + addend - here;
      else if (type == R_X86_64_NONE)
        continue;
      else
        refuse(fmt::format("relocation type {} is not one of position-independent code in the small model", type));
      int64_t distance = static_cast<int64_t>(value);
      require(width == 8 || (distance >= INT32_MIN && distance <= INT32_MAX), "a relocation does not reach its target");
      std::memcpy(place, &value, width);
    }
  }

  uint64_t near_address(size_t symbol) const {
    return stubs_[symbol] == none ? address_of(symbol)
                                  : reinterpret_cast<uint64_t>(base_) + stubs_begin_ + stubs_[symbol] * stub_bytes;
  }

  void protect() {
    auto set = [&](Segment segment, int protection) {
      uint64_t begin = segment_begin_[segment], end = segment_begin_[segment + 1];
      if (begin < end && ::mprotect(base_ + begin, end - begin, protection) != 0)
        refuse(fmt::format("its pages cannot be protected: {}", std::strerror(errno)));
    };
    set(text, PROT_READ | PROT_EXEC);
    set(constants, PROT_READ);
  }

  void export_symbols() {
    for (size_t i = 0; i < symbols_.size(); ++i) {
      bool global = ELF64_ST_BIND(symbols_[i].st_info) == STB_GLOBAL || ELF64_ST_BIND(symbols_[i].st_info) == STB_WEAK;
      uint16_t section = symbols_[i].st_shndx;
      // Functions only: an entry must lie in code.
      if (!global || section == SHN_UNDEF || section >= sections_.size() || places_[section].segment != text) continue;
      code_->symbols_.emplace(symbol_name(symbols_[i]), reinterpret_cast<void*>(address_of(i)));
    }
  }

  static constexpr uint64_t none = std::numeric_limits<uint64_t>::max();
  std::span<const uint8_t> object_;
  const std::string& name_;
  Elf64_Ehdr header_{};
  std::vector<Elf64_Shdr> sections_;
  std::vector<Place> places_;  // of each section
  std::vector<Elf64_Sym> symbols_;
  std::string_view strings_;
  std::vector<uint64_t> commons_, stubs_, got_;  // of each symbol: offset, number of stub, number of slot
  uint64_t stub_count_ = 0, got_count_ = 0, stubs_begin_ = 0, got_begin_ = 0, size_ = 0;
  std::array<uint64_t, segments + 1> segment_begin_{};
  std::shared_ptr<HostCode> code_;
  uint8_t* base_ = nullptr;
};

std::shared_ptr<const HostCode> HostCode::load(std::span<const uint8_t> object, const std::string& name) {
  return ObjectLoader(object, name).load();
}

HostCode::~HostCode() {
  if (base_) ::munmap(base_, size_);
}

void* HostCode::try_symbol(std::string_view symbol) const {
  auto found = symbols_.find(symbol);
  return found == symbols_.end() ? nullptr : found->second;
}

}  // namespace placewright
