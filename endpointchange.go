package kinora

// EndpointChange says what of an endpoint is to be set; nil leaves a field as it is. It is the
// body of the admin API's requests too.
type EndpointChange struct {
	Name        *string            `json:"name"`
	URL         *string            `json:"url"`
	Description *string            `json:"description"`
	EventTypes  *[]string          `json:"event_types"`     // empty = all
	Headers     map[string]*string `json:"headers"`         // set, or removed where the value is nil; those not named stay
	Rate        *int               `json:"rate_per_second"` // 0 = no limit
	Enabled     *bool              `json:"enabled"`
	// ReplayMissed delivers what was missed while the endpoint was disabled, and what died while
	// it was failing before. Only for an endpoint that is enabled, or is by this change.
	ReplayMissed bool `json:"replay_missed"`
}

// IsZero tells that nothing is to be changed.
func (c EndpointChange) IsZero() bool {
	return c.Name == nil && c.URL == nil && c.Description == nil && c.EventTypes == nil && c.Headers == nil && c.Rate == nil &&
		c.Enabled == nil && !c.ReplayMissed
}
