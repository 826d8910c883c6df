package ark

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// family is how a model is reached.
type family int

const (
	unknown family = iota // an endpoint id, or a name that nobody has heard of yet
	tasks                 // Seedance: POST /contents/generations/tasks
	images                // Seedream: POST /images/generations
)

// An endpoint ("ep-…") has a name that tells nothing. An operator may say what stands behind
// it by one of these, put before the id in upstream_model; they are not sent.
var prefixes = map[string]family{"seedance/": tasks, "seedream/": images}

// familyOf tells a model's family by its name.
func familyOf(upstreamModel string) family {
	name := strings.ToLower(upstreamModel)
	for prefix, f := range prefixes {
		if strings.HasPrefix(name, prefix) {
			return f
		}
	}
	switch {
	case strings.Contains(name, "seedream"), strings.Contains(name, "seededit"):
		return images
	case strings.Contains(name, "seedance"):
		return tasks
	}
	return unknown
}

// modelID is what the upstream calls the model.
func modelID(upstreamModel string) string {
	for prefix := range prefixes {
		if len(upstreamModel) > len(prefix) && strings.EqualFold(upstreamModel[:len(prefix)], prefix) {
			return upstreamModel[len(prefix):]
		}
	}
	return upstreamModel
}

// synchronous says whether a request goes to the image route. Where the name does not tell,
// the kind that the model is configured with does.
func synchronous(upstreamModel string, kind kinora.Kind) bool {
	f := familyOf(upstreamModel)
	return f == images || f == unknown && kind == kinora.KindImage
}

func synchronousRequest(req provider.Request) bool { return synchronous(req.UpstreamModel, req.Kind) }

// generation is a model's version, such as 2.5; the zero value where the name has none.
type generation struct{ major, minor int }

var versioned = regexp.MustCompile(`seed(?:ance|ream)-(\d)-(\d)(?:\D|$)`)

// generationOf reads the version in a model's name, such as "doubao-seedance-1-5-pro-251215".
// Limits that depend on it are not checked where there is none.
func generationOf(upstreamModel string) generation {
	m := versioned.FindStringSubmatch(strings.ToLower(upstreamModel))
	if m == nil {
		return generation{}
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	return generation{major, minor}
}

func (g generation) known() bool { return g != generation{} }
