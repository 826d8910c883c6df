package simulator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// Journal is a file of JSON lines that are written before what they record is
// answered. It survives the death of the process, by kill -9 too, so that a
// simulator in a process of its own can be asked afterwards what it accepted; it
// is not synced, so it does not survive the loss of power. It only grows: remove
// the file to start anew.
type Journal struct {
	mu   sync.Mutex
	file *os.File
	size int64
}

// OpenJournal opens or makes the file. A last line that a crash has torn is cut
// off.
func OpenJournal(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("simulator: open the journal: %w", err)
	}
	size, err := wholeLines(f)
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("simulator: repair the journal: %w", err), f.Close())
	}
	return &Journal{file: f, size: size}, nil
}

// wholeLines returns where the last whole line of a file ends.
func wholeLines(f *os.File) (end int64, err error) {
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case err == nil:
			end += int64(len(line))
		case errors.Is(err, bufio.ErrBufferFull):
			// A line longer than the buffer: its pieces count once it ends.
			rest, err := r.ReadBytes('\n')
			if err != nil {
				return end, ignoreEOF(err)
			}
			end += int64(len(line) + len(rest))
		default:
			return end, ignoreEOF(err)
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Append writes one record as one line in one call.
func (j *Journal) Append(record any) error {
	line, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("simulator: encode a journal record: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	n, err := j.file.Write(append(line, '\n'))
	if err != nil {
		// Half a line would swallow the next record.
		if n > 0 {
			err = errors.Join(err, j.file.Truncate(j.size))
		}
		return fmt.Errorf("simulator: write the journal: %w", err)
	}
	j.size += int64(n)
	return nil
}

// Close closes the file.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.file.Close()
}

// ReadJournal calls each with every whole line of a journal, also of one that is
// being written. A file that is not there is an empty journal. The line is only
// valid during the call.
func ReadJournal(path string, each func(line []byte) error) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("simulator: read the journal: %w", err)
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 64<<10)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // what follows the last line end is torn or not yet written
		}
		if err != nil {
			return fmt.Errorf("simulator: read the journal: %w", err)
		}
		if err := each(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return err
		}
	}
}
