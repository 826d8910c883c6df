package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/caarlos0/env/v11"

	"github.com/kinora/kinora"
)

// maxFile is far above every honest configuration, in bytes.
const maxFile = 1 << 20

// Load reads the file, if one is named, and the environment over the defaults, and checks
// the result. Its errors (*kinora.Error, ErrInvalid) tell everything that is wrong at once,
// name the key, the variable or the file's line, and never a value that may be secret.
func Load(path string, environ []string) (Config, error) {
	c := Default()
	var found problems
	if path != "" {
		text, err := readFile(path)
		if err != nil {
			return c, &kinora.Error{Code: kinora.ErrInvalid, Op: "read configuration", Message: "the configuration file cannot be read",
				Hint: "check the path after --config", Err: err}
		}
		c.parse(text, &found)
	}
	c.environment(env.ToMap(environ), &found)
	if len(found) == 0 { // a value that could not be read would be complained about twice
		c.validate(&found)
	}
	op := "configuration"
	if path != "" {
		op = "read " + filepath.Base(path)
	}
	return c, found.err(op)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	return text, err
}

// DatabaseDSN is the database's address, with the default filled in.
func (c *Config) DatabaseDSN() string {
	if c.Database != "" {
		return c.Database
	}
	return filepath.Join(c.DataDir, "kinora.db")
}

// StorageFolder is the folder for files, with the default filled in.
func (c *Config) StorageFolder() string {
	if c.Storage.Folder != "" {
		return c.Storage.Folder
	}
	return filepath.Join(c.DataDir, "files")
}
