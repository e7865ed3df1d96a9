-- GET messages?test=true, where most messages are none.
CREATE INDEX messages_of_tests
    ON rm_messages_v1.messages (tenant_id, created_position) WHERE test;
