// The AWS SDK for JavaScript before 2.575.0: it has never heard of a session token.
const { EC2MetadataCredentials } = require('aws-sdk');

new EC2MetadataCredentials({ maxRetries: 0 }).get((error) => {
  if (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
});
