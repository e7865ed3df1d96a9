-- Which receipts are due for another look, the longest due first.
CREATE INDEX waiting_receipts_due ON hatch.waiting_receipts (next_look_at);
