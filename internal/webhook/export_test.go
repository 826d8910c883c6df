package webhook

// Wake makes every loop look at the clock again; tests call it after moving the clock.
func (s *Dispatcher) Wake() {
	for _, c := range s.claimers {
		ring(c.bell)
	}
	ring(s.gate.changed)
}

// InHand counts what the gate has in hand: fresh, retries, held.
func (s *Dispatcher) InHand() [3]int { return s.gate.inHand() }

// Leased counts leases that the dispatcher knows of.
func (s *Dispatcher) Leased() int {
	s.leases.mu.Lock()
	defer s.leases.mu.Unlock()
	return len(s.leases.inHand)
}

// KeptReports is how many reports of destinations are kept.
func (s *Dispatcher) KeptReports() int {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	return len(s.health.kept)
}
