package upload

import (
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kinora/kinora/internal/blob"
	"github.com/kinora/kinora/internal/media"
)

// Prefix starts the key of every upload.
const Prefix = "temp/"

const (
	maxPath         = 200 // bytes of a caller's folder
	maxOriginalName = 255 // characters
)

// folderOf is where a file goes: temp/<path>/<yyyy>/<mm>/<dd>. Slashes around path do not matter.
func folderOf(wanted string, now time.Time) (string, error) {
	folder := strings.Trim(wanted, "/")
	if len(folder) > maxPath || strings.Contains(folder, "..") || strings.Contains(folder, "//") {
		return "", errPath()
	}
	if folder != "" {
		folder += "/"
	}
	folder = Prefix + folder + now.Format("2006/01/02")
	if blob.ValidateKey(folder) != nil {
		return "", errPath()
	}
	return folder, nil
}

// originalName is the last part of what the caller called the file, fit to be shown.
func originalName(name string, kind media.Type) string {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, name))
	if name == "" || name == "." || name == ".." {
		return "upload" + kind.Extension()
	}
	if runes := []rune(name); len(runes) > maxOriginalName {
		// The end holds the extension.
		name = string(runes[len(runes)-maxOriginalName:])
	}
	return name
}

// nameInURL is the last element of a URL's path; empty when it has none.
func nameInURL(urlPath string) string {
	if name := path.Base(urlPath); name != "/" && name != "." {
		return name
	}
	return ""
}
