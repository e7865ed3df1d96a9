-- Whether any receipt of a webhook still waits.
CREATE INDEX waiting_receipts_by_webhook ON hatch.waiting_receipts (webhook_id);
