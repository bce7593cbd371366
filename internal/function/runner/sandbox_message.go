package runner

// What the server and a sandbox's init process say to each other: one JSON object a line, over a
// socket that only the two of them hold. The server's first line is an order.

// order tells the init process what to build and to run.
type order struct {
	Isolated bool   // namespaces were made; false in Unsafe mode
	Network  string // "none": listen inside, and pass the listeners on
	Scratch  string // Unsafe mode: the directory to unpack into

	Binds []string          // directories of the host to show read-only, as they are called there
	Files map[string]string // small files to make, by path
	Hide  []string          // paths to cover with nothing
	Etc   []string          // files and directories of the host's /etc to show

	CodeSize  int64 // of the zip archive
	Ephemeral int   // MB of /tmp
	Memory    int   // MB that all processes together may use
	HostID    int   // the id, outside, of the user that the code runs as

	Listen []string // Network none: loopback addresses to listen at

	Program limits
}

// limits is what the last stage before the code imposes on itself.
type limits struct {
	Argv      []string
	Env       []string
	Dir       string
	Processes uint64
	Files     uint64
	FileSize  uint64
	Data      uint64
}

// command is a line from the server to the init process after the order.
type command struct {
	Do string // thaw, freeze
}

// report is a line from the init process to the server.
type report struct {
	Ready  bool    `json:",omitempty"` // the runtime was started; listeners come with it
	Failed string  `json:",omitempty"` // it could not be
	Code   bool    `json:",omitempty"` // and the archive is to blame
	Ended  *ending `json:",omitempty"`
}

// ending is how the runtime's process ended.
type ending struct {
	Status int    // exit status, when Signal is empty
	Signal string // "killed", "segmentation fault"
	Memory bool   // killed because the memory was used up
	Entry  string // why the code's executable could not be executed
}
