package tenancy

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/kinora/kinora"
)

// EndpointHeaders opens an endpoint's own headers; nil = it has none. It reads no database.
func (s *Service) EndpointHeaders(e *kinora.Endpoint) (map[string]string, error) {
	if e.SealedHeaders == "" {
		return nil, nil
	}
	text, err := s.ring.Open(e.SealedHeaders, headersContext(e.OrganisationID, e.ID))
	if err != nil {
		return nil, unreadable("the headers of endpoint "+e.ID, err)
	}
	var headers map[string]string
	if err := json.Unmarshal(text, &headers); err != nil {
		return nil, unreadable("the headers of endpoint "+e.ID, err)
	}
	return headers, nil
}

// changeHeaders sets the named headers and removes those whose value is nil; others stay. Names
// are the same in whatever case, and keep the one that they were set in last.
func (s *Service) changeHeaders(e *kinora.Endpoint, change map[string]*string) error {
	if len(change) == 0 {
		return nil
	}
	headers, err := s.EndpointHeaders(e)
	if err != nil {
		return err
	}
	named := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(change)) {
		if lower := strings.ToLower(name); named[lower] {
			return kinora.FieldErrorf(kinora.ErrInvalid, "headers", "headers: %s is there twice", lower)
		} else {
			named[lower] = true
		}
	}
	after := map[string]string{}
	for name, value := range headers {
		if !named[strings.ToLower(name)] {
			after[name] = value
		}
	}
	for name, value := range change {
		switch {
		case value == nil:
		case *value == kinora.HiddenHeader:
			return kinora.FieldErrorf(kinora.ErrInvalid, "headers", "headers: %s stands for a value that is not shown; leave the header out to keep it", kinora.HiddenHeader)
		default:
			after[name] = *value
		}
	}
	return s.sealHeaders(e, after)
}

func (s *Service) sealHeaders(e *kinora.Endpoint, headers map[string]string) error {
	if err := kinora.CheckEndpointHeaders(headers); err != nil {
		return err
	}
	e.HeaderNames, e.SealedHeaders = slices.Sorted(maps.Keys(headers)), ""
	if len(headers) == 0 {
		e.HeaderNames = []string{}
		return nil
	}
	text, err := json.Marshal(headers)
	if err != nil {
		return err
	}
	e.SealedHeaders, err = s.ring.Seal(text, headersContext(e.OrganisationID, e.ID))
	return err
}

// headersContext ties sealed headers to their row.
func headersContext(organisationID, endpointID string) string {
	return "endpoint_headers/" + organisationID + "/" + endpointID
}
